/// Whether a removable disk's medium is in, and who keeps it from being taken out, SPC-4 §6.18.
struct MediumState: Sendable {
  private(set) var isLoaded = true
  private var preventing: Set<UInt64> = []

  var isRemovalPrevented: Bool { !preventing.isEmpty }

  mutating func setPrevented(_ isPrevented: Bool, by session: UInt64) {
    if isPrevented {
      preventing.insert(session)
    } else {
      preventing.remove(session)
    }
  }

  /// The medium goes out; throws where somebody prevents that.
  mutating func eject(isHeld: Bool) throws(SenseData) {
    guard isLoaded else { return }
    // SPC-4 §6.18: nobody takes out what anybody keeps in; a mirror keeps its medium, too.
    guard preventing.isEmpty, !isHeld else {
      throw SenseData(.illegalRequest, .mediumRemovalPrevented)
    }
    isLoaded = false
  }

  /// The medium comes in; whether it was out. Throws where somebody prevents that.
  mutating func load() throws(SenseData) -> Bool {
    guard !isLoaded else { return false }
    // SBC-3 §5.25: neither loading nor ejecting while removal is prevented.
    guard preventing.isEmpty else {
      throw SenseData(.illegalRequest, .mediumRemovalPrevented)
    }
    isLoaded = true
    return true
  }

  // SPC-4 §6.18: the loss of a session ends its prevention, a reset everybody's.
  mutating func detach(_ session: UInt64) { preventing.remove(session) }
  mutating func reset() { preventing = [] }
}
