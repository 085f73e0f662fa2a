import Glibc
import SCSI
import Storage
import Testing

struct DeviceBackingTests {
  let directory = Directory()

  @Test(.enabled(if: Machine.hasLoopDevices, "there are no loop devices here"))
  func `a block device stores, zeroes and is not opened twice`() throws {
    let path = try directory.loopDevice()
    defer { _ = run("losetup", "--detach", path) }
    do {
      let device = try DeviceBacking(path: path)
      #expect(device.byteCount == 4 << 20)
      let data = [UInt8](repeating: 7, count: 1 << 20)
      try device.put(data, at: 4096)
      try device.flush()
      #expect(try device.bytes(4096, data.count) == data)
      for (offset, length) in [(8192, 65536), (8704, 512), (4096, 1 << 20)] as [(UInt64, UInt64)] {
        _ = try device.perform(.zero([ByteRange(offset: offset, length: length)]))
        #expect(try device.bytes(offset, Int(length)).allSatisfy { $0 == 0 })
      }
      #expect(refusal { try DeviceBacking(path: path) }.contains("is in use"))
    }
    #expect(refusal { try FileBacking(path: path) }.contains("say device:\(path)"))
  }

  /// A loop device gives what it discards back to its file, and reads zeros there: so the file
  /// tells whether space was given back.
  @Test(.enabled(if: Machine.hasLoopDevices, "there are no loop devices here"))
  func `zeros give a device's space back, all of it is mapped all the same`() throws {
    let path = try directory.loopDevice()
    defer { _ = run("losetup", "--detach", path) }
    let device = try DeviceBacking(path: path, isThin: true)
    let data = [UInt8](repeating: 7, count: 2 << 20)
    try device.put(data, at: 0)
    try device.flush()
    let before = try space()
    #expect(before >= 2 << 20)
    _ = try device.perform(.zero([ByteRange(offset: 512, length: 1 << 20)]))
    try device.flush()
    #expect(try device.bytes(0, 512) == Array(data.prefix(512)))
    #expect(try device.bytes(512, 1 << 20).allSatisfy { $0 == 0 })
    #expect(try device.bytes(512 + 1 << 20, 512) == Array(data.prefix(512)))
    #expect(try space() <= before - (1 << 20) + 8192)
    // Devices don't tell their maps.
    let whole = ByteRange(offset: 0, length: device.byteCount)
    #expect(
      try device.extents(of: whole, countMax: 9)
        == [BackingExtent(length: device.byteCount, isMapped: true)])
  }

  /// Bytes that the loop device's file takes.
  private func space() throws -> Int {
    let told = run("stat", "--format", "%b", directory.file("loop"))
    return try #require(Int(told.output)) * 512
  }

  @Test func `what is no device is refused with what to do`() throws {
    let path = directory.file("plain")
    #expect(run("truncate", "-s", "4096", path).status == 0)
    #expect(refusal { try DeviceBacking(path: path) }.contains("say file:\(path)"))
    #expect(refusal { try DeviceBacking(path: "/dev/none") }.contains("No such file"))
    #expect(refusal { try DeviceBacking(path: "/dev/null") }.contains("not a block device"))
  }
}
