import Bytes
import Replication
import Testing

@testable import Mirrorcast

@Suite struct ProvingBenchTests {
  private func proof(
    _ bytes: [UInt8], _ number: UInt32 = 7, epoch: UInt16 = 2, by bench: inout ProvingBench
  ) -> WriteProof {
    bytes.withUnsafeBytes {
      bench.prove($0, at: 8192, number: SerialNumber(number), epoch: epoch)
    }
  }

  private func isRight(
    _ proof: WriteProof, _ bytes: [UInt8], _ number: UInt32 = 7, epoch: UInt16 = 2,
    place: UInt64 = 8192, at bench: ProvingBench
  ) -> Bool {
    bytes.withUnsafeBytes {
      bench.proves(proof, $0, at: place, number: SerialNumber(number), epoch: epoch)
    }
  }

  @Test func `a proof is of these bytes, of that write, by that leg, and no other`() {
    let key = [UInt8](0..<16)
    var (leg, initiator, other) = (ProvingBench(), ProvingBench(), ProvingBench())
    leg.install(key, epoch: 2)
    initiator.install(key, epoch: 2)
    initiator.install(key, epoch: 3)
    other.install([UInt8](1...16), epoch: 2)
    for count in [512, 4096, 70_000] {
      var bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 13) }
      var found = proof(bytes, by: &leg)
      #expect(isRight(found, bytes, at: initiator))
      #expect(!isRight(found, bytes, 8, at: initiator))
      #expect(!isRight(found, bytes, epoch: 3, at: initiator))
      #expect(!isRight(found, bytes, place: 0, at: initiator))
      #expect(!isRight(found, bytes, place: 8704, at: initiator))
      #expect(!isRight(found, bytes, epoch: 4, at: initiator))
      #expect(!isRight(found, bytes, at: other))
      #expect(!isRight(found, bytes.dropLast(16), at: initiator))
      for place in [0, count / 2, count - 1] {
        bytes[place] ^= 1
        #expect(!isRight(found, bytes, at: initiator), "byte \(place)")
        bytes[place] ^= 1
      }
      found.counter += 1
      #expect(!isRight(found, bytes, at: initiator))
    }
  }

  @Test func `no nonce comes twice, and without a key there is no proof`() {
    var bench = ProvingBench()
    let bytes = [UInt8](repeating: 1, count: 512)
    #expect(proof(bytes, by: &bench) == .none)
    bench.install([UInt8](0..<16), epoch: 2)
    let proofs = (0..<100).map { _ in proof(bytes, by: &bench) }
    #expect(Set(proofs.map(\.counter)).count == 100 && Set(proofs.map(\.tag)).count == 100)
    #expect(!isRight(.none, bytes, at: bench))
  }
}
