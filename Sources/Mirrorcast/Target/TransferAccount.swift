/// What one connection has of the daemon's memory for data; touched on its event loop only.
struct TransferAccount {
  let budget: TransferBudget
  let id: UInt64
  /// Taken of the budget.
  private var taken = 0
  /// What all that is under way needs.
  private var needed = 0
  /// In line for more.
  private(set) var isWaiting = false
  private var isClosed = false
  private let reserve: Int
  var watch = HoldingWatch()

  /// `reserve`: what it may take beyond the budget while it has nothing.
  init(_ budget: TransferBudget, id: UInt64, reserve: Int = 0) {
    self.budget = budget
    self.id = id
    self.reserve = reserve
  }

  /// Whether there is memory for `byteCount` more than is needed; where not, the connection is in
  /// line for it, and `granted` is called when it has it.
  mutating func reserve(
    _ byteCount: Int, granted: @escaping @Sendable (Int) -> Void
  ) -> Bool {
    guard !isWaiting, !isClosed else { return false }
    let missing = needed + byteCount - taken
    guard missing > 0 else { return true }
    guard taken > 0 || needed > 0 || missing > reserve else {
      budget.change(by: missing)
      taken = missing
      return true
    }
    guard budget.take(missing, for: id, granted: granted) else {
      isWaiting = true
      return false
    }
    taken += missing
    return true
  }

  /// What was waited for is here.
  mutating func granted(_ byteCount: Int) {
    guard !isClosed else { return budget.change(by: -byteCount) }
    isWaiting = false
    taken += byteCount
  }

  /// Something that was reserved for is under way, or anything else has changed.
  mutating func need(_ byteCount: Int) { needed = byteCount }

  /// Gives back what is not needed; what was not to be waited for is taken.
  mutating func settle() {
    guard taken != needed, !isClosed else { return }
    budget.change(by: needed - taken)
    taken = needed
  }

  /// The connection has ended.
  mutating func close() {
    budget.forget(id)
    isWaiting = false
    isClosed = true
    if taken > 0 { budget.change(by: -taken) }
    taken = 0
  }
}
