// A journal's bytes: two slots for the record, written in turn, and the marks in sectors.
//
// 0        slot A: magic, version, payload's length, sequence, byte count of the disk, length of
//          a region, payload (a record; no bytes: none), CRC32C over all before it
// 32 KiB   slot B, the same
// 64 KiB   sectors of 512 bytes: a tag, which one it is, 62 words of marks, CRC32C
//
// A power cut leaves a sector old, new or torn, and of several sectors any mixture. So each sector
// carries its own checksum, and a slot one over all of its own.
//
// Laws of reading:
// - The valid slot with the higher sequence is the record. It may say that there is none.
// - Where it says none, the marks are void, whatever stands there. So a journal is made by writing
//   all mark sectors first and the record only when they are on the medium, and unmade by the one
//   slot that says none. Hence a sector of zeros under a record is damage, not "never written".
// - A mark sector that isn't what was written counts as all its regions marked.
// - Both slots of zeros: a new file. The first slot ever written is B, with none; A is written when
//   that is on the medium. So a bad B beside an A of zeros is a file that was never finished being
//   made, and new, too. All else without a valid slot is damage, said in words: such a leg has
//   belonged to a mirror, and nobody knows to which.
// - A file that is shorter than it should be is read as if zeros followed.
import Bytes

/// Where what stands in a journal, and how it is read and written.
enum JournalBytes {
  static let magic: [UInt8] = Array("MIRRLEG1".utf8)
  static let version: UInt32 = 1
  static let slotLength = 32 << 10
  static let slotHeaderLength = 40
  static let marksOffset = 2 * slotLength
  static let sectorLength = 512
  static let sectorTag: UInt32 = 0x4d41_524b
  static let wordsPerSector = 62
  static let regionsPerSector = wordsPerSector * 64
  /// A slot with a higher sequence can't be ours: there is always one more.
  static let sequenceMax: UInt64 = 1 << 62

  static func sectorCount(for layout: RegionLayout) -> Int {
    (layout.regionCount + regionsPerSector - 1) / regionsPerSector
  }

  static func byteCount(for layout: RegionLayout) -> Int {
    marksOffset + sectorCount(for: layout) * sectorLength
  }

  // MARK: Slots

  /// A slot's bytes, in whole sectors.
  static func slot(_ record: MirrorRecord?, sequence: UInt64, layout: RegionLayout) -> [UInt8] {
    let payload = record?.bytes ?? []
    precondition(payload.count <= MirrorRecord.byteCountMax, "a record that nobody has looked at")
    var bytes = magic
    bytes.appendBigEndian(version)
    bytes.appendBigEndian(UInt32(payload.count))
    bytes.appendBigEndian(sequence)
    bytes.appendBigEndian(layout.byteCount)
    bytes.appendBigEndian(layout.regionLength)
    bytes += payload
    bytes.appendBigEndian(checksum(bytes, bytes.count))
    let rest = bytes.count % sectorLength
    if rest > 0 { bytes += [UInt8](repeating: 0, count: sectorLength - rest) }
    return bytes
  }

  /// A slot as it was found.
  enum FoundSlot {
    case zeros
    case bad
    case valid(ValidSlot)
  }

  /// What a slot says.
  struct ValidSlot {
    var version: UInt32
    var sequence: UInt64
    var byteCount: UInt64
    var regionLength: UInt64
    var payload: [UInt8]
  }

  static func readSlot(_ bytes: ArraySlice<UInt8>) -> FoundSlot {
    guard bytes.contains(where: { $0 != 0 }) else { return .zeros }
    let slot = Array(bytes)
    guard slot.count >= slotHeaderLength + 4, slot.starts(with: magic) else { return .bad }
    // Safe: the span lives no longer than the array that it looks at.
    let fields = unsafe slot.span.bytes
    let length = Int(fields.bigEndian32(at: 12))
    guard length <= slot.count - slotHeaderLength - 4 else { return .bad }
    let end = slotHeaderLength + length
    guard fields.bigEndian32(at: end) == checksum(slot, end) else { return .bad }
    let found = ValidSlot(
      version: fields.bigEndian32(at: 8), sequence: fields.bigEndian64(at: 16),
      byteCount: fields.bigEndian64(at: 24), regionLength: fields.bigEndian64(at: 32),
      payload: Array(slot[slotHeaderLength..<end]))
    return found.sequence <= sequenceMax ? .valid(found) : .bad
  }

  // MARK: Marks

  static func sector(_ index: Int, of marks: RegionMap) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(sectorLength)
    bytes.appendBigEndian(sectorTag)
    bytes.appendBigEndian(UInt32(index))
    for word in index * wordsPerSector..<(index + 1) * wordsPerSector {
      bytes.appendBigEndian(word < marks.words.count ? marks.words[word] : 0)
    }
    bytes.appendBigEndian(UInt32(0))
    bytes.appendBigEndian(checksum(bytes, bytes.count))
    return bytes
  }

  /// Reads a sector's marks. False where it isn't what was written: then all of them are set.
  static func readSector(_ index: Int, _ bytes: ArraySlice<UInt8>, into marks: inout RegionMap)
    -> Bool
  {
    let sector = Array(bytes)
    // Safe: the span lives no longer than the array that it looks at.
    let fields = unsafe sector.span.bytes
    let isValid =
      sector.count == sectorLength && fields.bigEndian32(at: 0) == sectorTag
      && fields.bigEndian32(at: 4) == UInt32(index)
      && fields.bigEndian32(at: sectorLength - 4) == checksum(sector, sectorLength - 4)
    let words = words(of: index, in: marks)
    for word in words {
      let offset = 8 + (word - words.lowerBound) * 8
      marks.setWord(word, isValid ? fields.bigEndian64(at: offset) : .max)
    }
    return isValid
  }

  /// The words of a map that one sector holds.
  static func words(of sector: Int, in marks: RegionMap) -> Range<Int> {
    sector * wordsPerSector..<min((sector + 1) * wordsPerSector, marks.words.count)
  }

  /// Of the first `count` bytes.
  private static func checksum(_ bytes: [UInt8], _ count: Int) -> UInt32 {
    var checksum = Checksum()
    // Safe: the span lives no longer than the array that it looks at.
    unsafe checksum.update(bytes.span.bytes.extracting(0..<count))
    return checksum.value
  }
}

/// What was found in a journal's file.
struct JournalContents {
  /// The slot with the newest record; nil in a new file.
  var newest: Int?
  var sequence: UInt64 = 0
  var record: MirrorRecord?
  var marks: RegionMap
  var badSectors: UInt64 = 0

  init(_ bytes: [UInt8]?, layout: RegionLayout) throws(JournalDamage) {
    marks = RegionMap(regionCount: layout.regionCount)
    guard var bytes else { return }
    let missing = JournalBytes.byteCount(for: layout) - bytes.count
    if missing > 0 { bytes += [UInt8](repeating: 0, count: missing) }
    guard let slot = try Self.findNewest(bytes) else { return }
    newest = slot.index
    sequence = slot.slot.sequence
    guard !slot.slot.payload.isEmpty else { return }
    do throws(RecordFault) {
      record = try MirrorRecord(bytes: slot.slot.payload)
    } catch {
      throw JournalDamage("the record can't be read: \(error.rawValue)")
    }
    guard slot.slot.byteCount == layout.byteCount, slot.slot.regionLength == layout.regionLength
    else {
      throw JournalDamage(
        "it is of a disk of \(slot.slot.byteCount) bytes in regions of \(slot.slot.regionLength),"
          + " not of \(layout.byteCount) in regions of \(layout.regionLength)")
    }
    for index in 0..<JournalBytes.sectorCount(for: layout) {
      let start = JournalBytes.marksOffset + index * JournalBytes.sectorLength
      let sector = bytes[start..<start + JournalBytes.sectorLength]
      if !JournalBytes.readSector(index, sector, into: &marks) { badSectors += 1 }
    }
  }

  private static func findNewest(
    _ bytes: [UInt8]
  ) throws(JournalDamage) -> (index: Int, slot: JournalBytes.ValidSlot)? {
    var newest: (index: Int, slot: JournalBytes.ValidSlot)?
    var isNew = true
    for index in 0..<2 {
      let start = index * JournalBytes.slotLength
      switch JournalBytes.readSlot(bytes[start..<start + JournalBytes.slotLength]) {
      case .zeros: break
      case .bad: if index == 0 { isNew = false }
      case .valid(let slot):
        guard slot.version == JournalBytes.version else {
          throw JournalDamage("it is of version \(slot.version), which is not known here")
        }
        if newest.map({ $0.slot.sequence < slot.sequence }) ?? true { newest = (index, slot) }
      }
    }
    guard newest != nil || isNew else {
      throw JournalDamage("neither of its two records is whole: the leg's mirror can't be told")
    }
    return newest
  }
}
