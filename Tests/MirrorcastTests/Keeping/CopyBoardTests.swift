import Replication
import Testing

@testable import Mirrorcast

struct `The board of holds` {
  @Test func `asks for as many as a lane takes, in their order`() {
    var board = CopyBoard()
    for token in UInt64(1)...20 { board.append(token, token << 20..<(token + 1) << 20) }
    var asked: [UInt64] = []
    while let (token, bytes, parts) = board.next(parts: { _ in [0, 2] }) {
      #expect(bytes.lowerBound == token << 20 && parts == [0, 2])
      asked.append(token)
    }
    #expect(asked == Array(1...UInt64(Limits.holdsMax - 4)))
    let removed = board.remove(3)
    #expect(removed == [0, 2])
    let next = board.next(parts: { _ in [1] })?.0
    #expect(next == asked.last.map { $0 + 1 })
    // One that no lane was asked for is forgotten alone.
    let unasked = board.remove(20)
    #expect(unasked.isEmpty)
  }

  @Test func `has a hold when all its lanes do`() {
    var board = CopyBoard()
    board.append(7, 0..<4096)
    _ = board.next(parts: { _ in [0, 1] })
    let held = [(7, 1), (7, 1), (7, 0), (8, 0)].map { board.noteHeld(UInt64($0.0), part: $0.1) }
    #expect(held == [false, false, true, false])
  }

  @Test func `counts what is suspect by lane, until all of it is mended`() {
    var board = CopyBoard()
    board.begin(partCount: 3)
    board.noteSuspect(part: 2)
    board.noteSuspect(part: 2)
    board.noteSuspect(part: 0)
    let taken = [board.takeSuspects(), board.takeSuspects()]
    #expect(taken == [[1, 0, 2], [0, 0, 0]])
  }
}
