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
    #expect(removed?.parts == [0, 2] && removed?.bytes == 3 << 20..<4 << 20)
    let next = board.next(parts: { _ in [1] })?.0
    #expect(next == asked.last.map { $0 + 1 })
    // One that no lane was asked for is forgotten alone.
    let unasked = board.remove(20)
    #expect(unasked?.parts == [])
  }

  @Test func `has a hold when all its lanes do`() {
    var board = CopyBoard()
    board.append(7, 0..<4096)
    _ = board.next(parts: { _ in [0, 1] })
    let held = [(7, 1), (7, 1), (7, 0), (8, 0)].map { board.noteHeld(UInt64($0.0), part: $0.1) }
    #expect(held == [false, false, true, false])
  }

  @Test func `tells the lanes of suspect ranges that are mended, the first ones first`() {
    var board = CopyBoard()
    for part in [2, 2, 0] { board.noteSuspect(part: part) }
    let taken = [board.takeSuspects(1), board.takeSuspects(nil), board.takeSuspects(nil)]
    #expect(taken == [[2], [2, 0], []])
  }

  @Test func `a hold that waits for other initiators is let go without having been asked for`() {
    var board = CopyBoard()
    board.wait(7, 0..<4096)
    board.wait(8, 4096..<8192)
    let dropped = [board.drop(7), board.drop(9)]
    #expect(dropped == [true, false])
    let entered = [board.enter(7), board.enter(8), board.enter(8)]
    #expect(entered.map { $0?.isWanted } == [false, true, nil])
    #expect(entered.map { $0?.bytes } == [0..<4096, 4096..<8192, nil])
  }
}
