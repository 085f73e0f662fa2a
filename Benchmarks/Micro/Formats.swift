// The digest and the datagram at the size of an Ethernet frame.
import Benchmark
import Bytes
import CDigest
import ISCSI
import Replication

func noise(_ count: Int) -> [UInt8] {
  var state: UInt32 = 1
  return (0..<count).map { _ in
    state = state &* 1_664_525 &+ 1_013_904_223
    return UInt8(truncatingIfNeeded: state >> 24)
  }
}

func benchmarkDigests() {
  for count in [48, 1408, 9000] {
    Benchmark("crc32c-\(count)") { benchmark in
      let bytes = noise(count)
      var digest: UInt32 = 0xffff_ffff
      benchmark.startMeasurement()
      for _ in benchmark.scaledIterations {
        digest = bytes.withUnsafeBytes { mirrorcast_crc32c(digest, $0.baseAddress, $0.count) }
      }
      benchmark.stopMeasurement()
      blackHole(digest)
    }
  }
  Benchmark("crc32c-copy-1408") { benchmark in
    let bytes = noise(1408)
    var copy = [UInt8](repeating: 0, count: 1408)
    var digest: UInt32 = 0xffff_ffff
    benchmark.startMeasurement()
    for _ in benchmark.scaledIterations {
      digest = bytes.withUnsafeBytes { from in
        copy.withUnsafeMutableBytes { into in
          mirrorcast_crc32c_copy(digest, into.baseAddress, from.baseAddress, from.count)
        }
      }
    }
    benchmark.stopMeasurement()
    blackHole(digest)
    blackHole(copy)
  }
}

private func dataHeader(_ count: Int) -> BasicHeaderSegment {
  var header = BasicHeaderSegment(opcode: .dataOut, flags: 0)
  header.dataSegmentLength = count
  header.lun = 5 << 48
  header.initiatorTaskTag = 0x8000_0007
  return header
}

func benchmarkDatagrams() {
  let trailer = DatagramTrailer(
    registration: 0x1234_5678, epoch: 1, flags: [], sequence: 7)
  Benchmark("datagram-assemble-1408") { benchmark in
    let data = noise(1408)
    let header = dataHeader(1408)
    var buffer = [UInt8](repeating: 0, count: 1472)
    benchmark.startMeasurement()
    for _ in benchmark.scaledIterations {
      var span = buffer.mutableSpan
      var bytes = span.mutableBytes
      blackHole(trailer.assemble(header: header, data: data.span.bytes, into: &bytes).byteCount)
    }
    benchmark.stopMeasurement()
    blackHole(buffer)
  }
  Benchmark("datagram-parse-1408") { benchmark in
    let data = noise(1408)
    var buffer = [UInt8](repeating: 0, count: 1472)
    var span = buffer.mutableSpan
    var bytes = span.mutableBytes
    _ = trailer.assemble(header: dataHeader(1408), data: data.span.bytes, into: &bytes)
    benchmark.startMeasurement()
    for _ in benchmark.scaledIterations {
      blackHole(try Datagram(buffer.span.bytes).contentDigest)
    }
    benchmark.stopMeasurement()
  }
}
