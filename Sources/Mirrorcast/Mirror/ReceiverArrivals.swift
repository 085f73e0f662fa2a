// From messages to the medium: a message is a train of datagrams, nearly always of one
// registration, so what is the same for all of them is looked up once.
import Bytes
import Datagrams
import ISCSI
import Lanes
import Replication
import Storage

extension ReceiverDuty {
  /// Takes what waits in a port; how many datagrams that was.
  mutating func receive(_ shared: SharedPort, now: UInt64) -> Int {
    let port = shared.port
    let count: Int
    do throws(SystemError) {
      count = try port.receive(into: &arrivals)
    } catch {
      drops.socketErrors += 1
      return 0
    }
    var datagramCount = 0
    for index in 0..<count {
      // Safe: the batch's memory stays as it is until the next receive.
      let datagrams = unsafe arrivals.datagrams(index)
      unsafe drops.truncated += UInt64(datagrams.cutCount)
      unsafe datagramCount += datagrams.count + datagrams.cutCount
      guard let source = arrivals.source(index) else { continue }
      if passage == nil {
        unsafe take(datagrams, source, now: now)
      } else {
        for piece in unsafe 0..<datagrams.count {
          unsafe pass(datagrams[piece], source, now: now)
        }
      }
    }
    port.release(&arrivals)
    if port.isLost { hear(shared) }
    return datagramCount
  }

  /// Tells what a port tells. The registrations of a port that is lost stay: their initiators hear
  /// of it, and serve them over their connections.
  func hear(_ shared: SharedPort) {
    while let news = shared.port.takeNews(looking: true) { logger.log(news) }
    guard shared.port.isLost, !shared.isLost else { return }
    shared.noteLost()
    for registration in registrations where registration.group === shared {
      registration.receiver.handlePortLost()
    }
  }

  private mutating func take(_ datagrams: ArrivedDatagrams, _ source: Endpoint, now: UInt64) {
    var piece = 0
    // Safe: the pieces lie in the batch, which stays until the next receive.
    while unsafe piece < datagrams.count {
      guard let registration = unsafe find(datagrams[piece], source) else {
        piece += 1
        continue
      }
      guard !registration.isKeyed else {
        piece = unsafe takeSealed(datagrams, from: piece, source, registration, now: now)
        continue
      }
      let first = piece
      piece = unsafe registration.take(datagrams, from: first, drops: &drops, now: now)
      for twin in registrations where registration.isTwin(of: twin, source) {
        _ = unsafe twin.take(datagrams, from: first, drops: &drops, now: now)
      }
    }
  }

  /// The registration that a datagram says it is of, and may be of; else it is counted.
  private mutating func find(
    _ bytes: UnsafeRawBufferPointer, _ source: Endpoint
  ) -> Registration? {
    // Safe: the span over the datagram's bytes ends with the statement.
    guard let number = unsafe Datagram.registration(in: bytes.bytes) else {
      drops.count(.short)
      return nil
    }
    let sealed = unsafe try? SealedTrailer(bytes.bytes)
    var (isKnown, isKeyed) = (false, false)
    var locked: Registration?
    for registration in registrations {
      guard registration.number == (registration.isKeyed ? sealed?.registration : number) else {
        isKeyed = isKeyed || registration.isKeyed && registration.number == number
        continue
      }
      isKnown = true
      guard registration.accepts(source) else { continue }
      // Of two targets in this daemon one may have left, and know no key of this epoch.
      guard registration.isKeyed, let epoch = sealed?.epoch, !registration.hasKey(of: epoch) else {
        return registration
      }
      locked = registration
    }
    if let locked { return locked }
    if !isKnown, isKeyed {
      drops.count(.sealing)
      return nil
    }
    guard unsafe isIntact(bytes) else { return nil }
    if isKnown {
      drops.noteStranger(number, from: source, logger)
    } else {
      drops.noteUnknown(number, from: source, logger)
    }
    return nil
  }

  /// Whether a datagram is whole, so that its registration can be believed; counts it when not.
  private mutating func isIntact(_ bytes: UnsafeRawBufferPointer) -> Bool {
    do throws(DatagramFault) {
      // Safe: the span over the datagram's bytes ends with the statement.
      _ = unsafe try Datagram(bytes.bytes)
      return true
    } catch {
      drops.count(error)
      return false
    }
  }

  // MARK: Faults on purpose

  private mutating func pass(_ bytes: UnsafeRawBufferPointer, _ source: Endpoint, now: UInt64) {
    // Safe: the bytes stay until the next receive, what the passage gives until its next `admit`.
    unsafe passage?.admit(bytes, peer: source)
    _ = takeFromPassage(now: now)
  }

  mutating func releaseHeld(now: UInt64) -> Int {
    guard let held = passage?.heldCount, held > 0 else { return 0 }
    passage?.releaseAll()
    return takeFromPassage(now: now)
  }

  private mutating func takeFromPassage(now: UInt64) -> Int {
    var count = 0
    // Safe: what the passage gives stays until its next `admit`.
    while let datagram = unsafe passage?.next() {
      count += 1
      // It has nothing more to do with what it gave: that may be opened in place.
      unsafe take(ArrivedDatagrams(single: datagram.bytes), datagram.peer, now: now)
    }
    return count
  }
}

extension Registration {
  /// Takes the datagrams of a message that are of this registration, from `first` on; the index of
  /// the first that is not.
  func take(
    _ datagrams: ArrivedDatagrams, from first: Int, drops: inout DatagramDrops, now: UInt64
  ) -> Int {
    // Safe: the pieces lie in the batch, which stays until the next receive.
    let next = unsafe places.take(
      datagrams, from: first, into: &receiver, drops: &drops, now: now)
    prove()
    return next
  }

  /// Whether another registration is the same mirror's at another target of this daemon, and so
  /// hears the same.
  func isTwin(of other: Registration, _ source: Endpoint) -> Bool {
    other !== self && other.number == number && other.accepts(source)
  }

  /// Lets the machine place a verified datagram, and copies its data there.
  func deliver(
    _ datagram: Datagram, _ bytes: UnsafeRawBufferPointer, isCarried: Bool, now: UInt64
  ) {
    places.judges.judge(datagram, for: &receiver)
    let placement = receiver.handleDatagram(datagram, isCarried: isCarried, now: now)
    // Safe: the caller's bytes, of which the datagram was read.
    unsafe places.put(bytes, placement, &receiver)
    prove()
  }
}

/// Where a registration's data is put: the slots' buffers, or the one LUN that is memory.
struct RegistrationPlaces {
  let number: UInt32
  /// What comes was sealed, and is opened before it comes here.
  let isOpened: Bool
  let slab: Slab
  let memory: MemoryBacking?
  var judges: UnitJudges

  /// Takes the datagrams of a message that are of this registration, from `first` on; the index of
  /// the first that is not.
  func take(
    _ datagrams: ArrivedDatagrams, from first: Int, into receiver: inout Receiver,
    drops: inout DatagramDrops, now: UInt64
  ) -> Int {
    var piece = first
    // Safe: the pieces lie in the batch, which stays until the next receive.
    while unsafe piece < datagrams.count {
      let bytes = unsafe datagrams[piece]
      do throws(DatagramFault) {
        let datagram = unsafe try Datagram(bytes.bytes, isOpened: isOpened)
        guard datagram.registration == number else { return piece }
        judges.judge(datagram, for: &receiver)
        let placement = receiver.handleDatagram(datagram, isCarried: false, now: now)
        unsafe put(bytes, placement, &receiver)
        piece += 1
        guard unsafe piece < datagrams.count, let run = receiver.run(behind: datagram, placement)
        else { continue }
        piece = unsafe take(
          run, datagrams, from: piece, into: &receiver, drops: &drops, now: now)
      } catch {
        drops.count(error)
        piece += 1
      }
    }
    return piece
  }

  /// Takes the blocks that continue a run; the index of the first datagram that doesn't.
  private func take(
    _ run: consuming DatagramRun, _ datagrams: ArrivedDatagrams, from first: Int,
    into receiver: inout Receiver, drops: inout DatagramDrops, now: UInt64
  ) -> Int {
    var piece = first
    // Safe: the pieces lie in the batch, which stays until the next receive; the place is a slot's
    // or the disk's, which stays as long as the registration.
    let (buffer, isPastCache) = unsafe place(of: run)
    var place = unsafe buffer.mutableBytes
    while unsafe piece < datagrams.count {
      let bytes = unsafe datagrams[piece].bytes
      guard run.foresees(bytes) else { break }
      piece += 1
      guard run.take(bytes, into: &place, isPastCache: isPastCache) else {
        drops.count(.digest)
        break
      }
    }
    receiver.handleRun(run, now: now)
    return piece
  }

  /// Where all of a run goes, and whether past the cache.
  @unsafe func place(
    of run: DatagramRun
  ) -> (buffer: UnsafeMutableRawBufferPointer, isPastCache: Bool) {
    // Safe: the owners compare the ranges with what they have.
    switch run.placement {
    case .nowhere: preconditionFailure("a run of blocks without a place")
    case .medium(_, let byteOffset, let length):
      guard let memory else { preconditionFailure("only memory takes data as it comes") }
      let buffer = unsafe memory.place(at: byteOffset, byteCount: run.byteCountMax)
      return unsafe (buffer, memory.goesPastCache(pieceByteCount: length))
    case .store(let slot, let offset, _):
      let buffer = unsafe slab.slot(slot)
      precondition(offset + run.byteCountMax <= buffer.count, "a run outside its slot")
      return unsafe (
        UnsafeMutableRawBufferPointer(rebasing: buffer[offset..<offset + run.byteCountMax]), false
      )
    }
  }

  /// Copies a datagram's data to where the machine wants it, and tells the machine.
  func put(
    _ bytes: UnsafeRawBufferPointer, _ placement: Placement, _ receiver: inout Receiver
  ) {
    let start = BasicHeaderSegment.byteCount
    // Safe: both ranges are compared with their buffers; they don't overlap.
    switch placement {
    case .nowhere: break
    case .medium(let slot, let byteOffset, let length):
      guard let memory else { preconditionFailure("only memory takes data as it comes") }
      unsafe memory.place(
        UnsafeRawBufferPointer(rebasing: bytes[start..<start + length]), at: byteOffset)
      receiver.settle(slot)
    case .store(let slot, let offset, let length):
      let buffer = unsafe slab.slot(slot)
      precondition(
        offset + length <= buffer.count && start + length <= bytes.count,
        "a placement outside the slot or the datagram")
      unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[offset..<offset + length])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[start..<start + length]))
      receiver.settle(slot)
    }
  }
}
