import Foundation

/// Runs a body on that many real threads at once and waits for them: a queue's threads would be no
/// more than there are cores, which isn't enough where one waits for another.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
  let group = DispatchGroup()
  for index in 0..<count {
    group.enter()
    Thread.detachNewThread {
      body(index)
      group.leave()
    }
  }
  group.wait()
}
