import SCSI
import Storage
import Testing

struct SpecificationTests {
  @Test func `the three places are read`() throws {
    let file = try LogicalUnitSpecification("0=file:/tmp/a=b:c.img,size=64M")
    #expect(file.number == LogicalUnitNumber(0))
    #expect(file.place == .file(path: "/tmp/a=b:c.img", size: 64 << 20))
    #expect(
      try LogicalUnitSpecification("7=file:x").place == .file(path: "x", size: nil))
    #expect(
      try LogicalUnitSpecification("255=device:/dev/sdb").place == .device(path: "/dev/sdb"))
    #expect(try LogicalUnitSpecification("2=memory:1G").place == .memory(size: 1 << 30))
  }

  @Test func `options say what kind of disk it is`() throws {
    let all = try LogicalUnitSpecification(
      "0=file:x,thick,removable,size=64M,readonly,block=4096,physical=512")
    #expect(all.place == .file(path: "x", size: 64 << 20))
    #expect(all.options.isThin == false && all.options.isRemovable && all.options.isReadOnly)
    #expect(all.options.blockLength == 4096 && all.options.physicalBlockLength == 512)
    #expect(all.statePath == "x.mirrorcast")
    #expect(all.options.takesUnmap)
    let same = try LogicalUnitSpecification("0=file:x,size=64M,thin=writesame").options
    #expect(same.isThin == true && !same.takesUnmap)
    let memory = try LogicalUnitSpecification("1=memory:1M,thin,removable")
    #expect(memory.options.isThin == true && memory.options.isRemovable)
    #expect(memory.statePath == nil)
    #expect(try LogicalUnitSpecification("2=device:d,thin,readonly").options.isReadOnly)
    #expect(try LogicalUnitSpecification("2=memory:1M,readonly").options.isReadOnly)
    for text in [
      "0=file:x,thin,thick", "0=file:x,thin=writesame,thin",
      "0=file:x,block=1024", "0=file:x,block", "0=file:x,removable=1",
      "0=memory:1M,readonly,readonly", "0=memory:1M,size=1M", "0=device:d,size=1M",
      "0=file:x,thin,thin", "0=memory:1536,block=4096", "0=file:x,size=1536,block=4096",
    ] {
      #expect(throws: SpecificationError.self) { try LogicalUnitSpecification(text) }
    }
  }

  @Test(arguments: [
    "file:x", "file:x,size=512,thin", "file:x,thin=writesame,removable", "device:d,thick,readonly",
    "memory:1048576,thin=writesame,block=4096,physical=4096", "memory:512",
    "memory:512,readonly",
  ])
  func `what is read is written again`(text: String) throws {
    let number = try #require(LogicalUnitNumber(3))
    let specification = try LogicalUnitSpecification(number, text)
    #expect(specification.description == text)
    #expect(try LogicalUnitSpecification(number, specification.description) == specification)
  }

  @Test func `who names no disk is told all words that there are`() throws {
    let number = try #require(LogicalUnitNumber(0))
    let error = #expect(throws: SpecificationError.self) {
      try LogicalUnitSpecification(number, "nothing")
    }
    #expect(error?.description.contains("[,thin|,thin=writesame|,thick]") == true)
  }

  @Test(arguments: [
    ("", "names no LUN"), ("0", "names no LUN"), ("=file:x", "0 to 255"), ("0=", "names no LUN"),
    ("0=file", "names no LUN"), ("0=file:", "names no LUN"), ("0=file:,size=1M", "names no LUN"),
    ("256=file:x", "'256' is no LUN"), ("-1=file:x", "0 to 255"), ("+1=file:x", "0 to 255"),
    ("99999999999999999999=file:x", "0 to 255"), ("a=file:x", "0 to 255"),
    ("0=disk:x", "'disk:' is unknown"), ("0=File:x", "unknown"),
    ("0=file:x,cache=none", "unknown option 'cache=none'"), ("0=file:x,", "unknown option ''"),
    ("0=file:x,size=1M,size=2M", "once"), ("0=file:x,size=", "is no size"),
    ("0=file:x,size=0", "multiple"), ("0=file:x,size=1000", "multiple"),
    ("0=device:x,size=1M", "unknown option 'size=1M' of device:"),
    ("0=memory:", "names no LUN"), ("0=memory:1G,huge", "unknown option 'huge' of memory:"),
    ("0=memory:0", "multiple"), ("0=memory:-1", "is no size"), ("0=memory:1.5G", "is no size"),
    ("0=file:a\0b", "names no LUN"),
  ])
  func `what is wrong is named`(_ text: String, _ words: String) {
    do throws(SpecificationError) {
      let specification = try LogicalUnitSpecification(text)
      Issue.record("\(specification) was taken")
    } catch {
      #expect(error.description.contains(words), "\(error)")
    }
  }

  @Test func `every truncation is read or refused`() {
    for whole in ["12=file:/tmp/a.img,size=64M", "3=device:/dev/sdb", "1=memory:512KiB"] {
      for count in 0..<whole.count {
        _ = try? LogicalUnitSpecification(String(whole.prefix(count)))
      }
    }
  }

  @Test(
    arguments: [
      ("512", 512), ("0", 0), ("512K", 512 << 10), ("64M", 64 << 20), ("1G", 1 << 30),
      ("2t", 2 << 40),
      ("3MiB", 3 << 20), ("9223372036854775807", UInt64(Int64.max)),
    ] as [(String, UInt64)])
  func `sizes are binary`(_ text: String, _ bytes: UInt64) throws {
    #expect(try ByteSize(text).bytes == bytes)
  }

  @Test(arguments: [
    "", "K", "iB", "1iB", "1MB", "1 M", "+1", "-1", "0x10", "1e3", "9223372036854775808",
    "18446744073709551616", "8388608T", "16777216T", "99999999999999999999G", "١M",
  ])
  func `what is no size is refused`(_ text: String) {
    #expect(throws: SpecificationError.size(text)) { try ByteSize(text) }
  }
}
