package import Bytes

/// What is remembered of the write numbers from the lowest open one on: a fixed ring, so that a
/// late datagram of an ended write can never reach a new one, whatever its tag.
package struct WriteWindow: Sendable {
  /// What became of one write number.
  package enum State: Sendable, Equatable {
    case unseen
    case open(slot: Int)
    case ended(status: UInt8)
    case fenced
    /// Two checksums came for one piece of it: only the connection is believed.
    case distrusted
  }

  /// Where a number stands relative to the window.
  package enum Place: Sendable, Equatable { case below, inside, beyond }

  package private(set) var lowest: SerialNumber
  private var states: [State]

  package init(lowest: SerialNumber, capacity: Int = Limits.writeWindowMax) {
    self.lowest = lowest
    states = [State](repeating: .unseen, count: capacity)
  }

  package func place(of number: SerialNumber) -> Place {
    let distance = lowest.distance(to: number)
    return distance < 0 ? .below : distance < states.count ? .inside : .beyond
  }

  /// The state of a number inside the window.
  package subscript(number: SerialNumber) -> State {
    get {
      precondition(place(of: number) == .inside, "number outside the window")
      return states[Int(number.rawValue) % states.count]
    }
    set {
      precondition(place(of: number) == .inside, "number outside the window")
      states[Int(number.rawValue) % states.count] = newValue
    }
  }

  /// Moves the window's lower end up; what leaves it is forgotten. Open writes that would
  /// leave it are the owner's to fence first.
  package mutating func advance(to number: SerialNumber) {
    var distance = lowest.distance(to: number)
    guard distance > 0 else { return }
    if distance >= states.count {
      for index in states.indices { states[index] = .unseen }
      lowest = number
      return
    }
    while distance > 0 {
      states[Int(lowest.rawValue) % states.count] = .unseen
      lowest = lowest.next
      distance -= 1
    }
  }
}
