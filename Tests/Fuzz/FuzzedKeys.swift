// What a leg does with sealed datagrams, its own code, under whoever has the right key and seals by
// it what they like, or changes what was sealed.
//
// Law: what is let in was sealed so, in an epoch that has a key, and is let in once; what is
// refused changes nothing.
import Bytes
import ISCSI
import Replication
import Sealing

@testable import Keying

/// A leg's keys, and those of somebody who has them too.
final class FuzzedKeys {
  /// What an epoch has let in, as it should be.
  private struct Model {
    var epoch: UInt16
    var key: EpochKey
    var highest: UInt32 = 0
    var admitted: Set<UInt32> = []

    func admits(_ counter: UInt32) -> Bool {
      counter > 0 && !admitted.contains(counter)
        && (counter > highest || highest - counter < UInt32(ReplayWindow.byteCount * 8))
    }
  }

  /// What is done to the next datagram; 0: it goes as it should.
  var odd = 0
  private let cipher: DatagramCipher
  private var opening = OpeningBench()
  /// The newest first.
  private var models: [Model] = []
  private var last: UInt32 = 0

  init(hidesData: Bool) {
    cipher = hidesData ? .aes128GCM : .aes256GMAC
    install(epoch: 1) { _ in false }
  }

  /// The key of an epoch comes, as it does on a leg's session.
  func install(epoch: UInt16, isOver: (UInt16) -> Bool) {
    opening.forget(where: isOver)
    models.removeAll { isOver($0.epoch) }
    let key = EpochKey(
      cipher: cipher,
      bytes: [UInt8](repeating: UInt8(truncatingIfNeeded: epoch), count: cipher.keyByteCount))
    let isNew = opening.install(key, epoch: epoch)
    require(isNew == !models.contains { $0.epoch == epoch }, "an epoch's second key")
    guard isNew else { return }
    models.insert(Model(epoch: epoch, key: key), at: 0)
    if models.count > Limits.epochsMax { models.removeLast() }
  }

  /// A clear datagram, whatever it says, sealed and opened again; nil where it isn't let in.
  func pass(_ clear: [UInt8]) -> [UInt8]? {
    guard clear.count >= Datagram.overheadByteCount else { return nil }
    let (kind, amount) = (odd & 0x07, UInt32(odd >> 3))
    odd = 0
    let counter = counter(kind, amount)
    var clear = clear
    let trailer = clear.count - Datagram.trailerByteCount
    // Of another epoch than those known it would come no further.
    let told = UInt16(clear[trailer + 4]) << 8 | UInt16(clear[trailer + 5])
    let index = models.firstIndex { $0.epoch == told } ?? 0
    clear.replaceSubrange(
      trailer + 4..<trailer + 6,
      with: [UInt8(models[index].epoch >> 8), UInt8(models[index].epoch & 0xff)])
    let sealed = seal(clear, counter, models[index].key)
    if let harmed = harmed(sealed, clear, kind, amount, models[index].key) {
      require(open(harmed) == nil, "what nobody has sealed is let in")
    }
    let isDue = models[index].admits(counter)
    let opened = open(sealed)
    require((opened != nil) == isDue, isDue ? "refused though it is right" : "let in again")
    guard let opened else { return nil }
    models[index].admitted.insert(counter)
    models[index].highest = max(models[index].highest, counter)
    require(opened.count == clear.count, "opened it has another length")
    require(
      opened[..<(trailer + 6)].elementsEqual(clear[..<(trailer + 6)]), "opened it is another")
    return opened
  }

  private func counter(_ kind: Int, _ amount: UInt32) -> UInt32 {
    let steps: UInt32 =
      switch kind {
      case 3: 1 + amount << 8
      case 4: amount << 24
      default: 1
      }
    switch kind {
    case 1: return last
    case 2: return last - min(last, amount << 8)
    default: last = last > .max - steps ? .max : last + steps
    }
    return last
  }

  private func seal(_ clear: [UInt8], _ counter: UInt32, _ key: EpochKey) -> [UInt8] {
    var bytes = clear + [UInt8](repeating: 0, count: SealedTrailer.tagByteCount)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    let trailer = SealedTrailer(preparing: &raw, byteCount: clear.count, counter: counter)
    let isSealed = SealingKey(key.bytes).seal(
      &raw,
      hidden: SealedTrailer.hidden(clear.count, hidesData: key.cipher.hidesData),
      tagOffset: clear.count, nonce: trailer.nonce)
    require(isSealed, "the library refuses")
    return bytes
  }

  /// The same with a bit, some of its end, or its key changed.
  private func harmed(
    _ sealed: [UInt8], _ clear: [UInt8], _ kind: Int, _ amount: UInt32, _ key: EpochKey
  ) -> [UInt8]? {
    switch kind {
    case 5:
      var harmed = sealed
      // The registration says which key it is, and is signed by that.
      let registration = sealed.count - 32..<sealed.count - 28
      var place = Int(amount) * (sealed.count - 1) / 31
      if registration.contains(place) { place += 4 }
      harmed[place] ^= 1 << UInt8(amount & 0x07)
      return harmed
    case 6: return Array(sealed.dropLast(1 + Int(amount)))
    case 7:
      let other = EpochKey(cipher: key.cipher, bytes: key.bytes.map { $0 ^ 0x80 })
      return seal(clear, last, other)
    default: return nil
    }
  }

  private func open(_ sealed: [UInt8]) -> [UInt8]? {
    var bytes = sealed
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    do throws(DatagramFault) {
      try opening.open(&raw)
    } catch {
      return nil
    }
    return Array(bytes.dropLast(SealedTrailer.tagByteCount))
  }
}
