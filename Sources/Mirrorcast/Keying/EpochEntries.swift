import Replication

/// Something for each epoch of which writes may be open, the newest first: what belongs to an older
/// one than that goes by itself.
struct EpochEntries<Value> {
  private var epochs: [UInt16] = []
  /// In the order of the epochs; changed in place by the data path.
  var values: [Value] = []

  var newest: Value? { values.first }

  func index(of epoch: UInt16) -> Int? { epochs.firstIndex(of: epoch) }

  /// False where the epoch has something already.
  mutating func install(_ value: Value, epoch: UInt16) -> Bool {
    guard index(of: epoch) == nil else { return false }
    epochs.insert(epoch, at: 0)
    values.insert(value, at: 0)
    if epochs.count > Limits.epochsMax {
      epochs.removeLast()
      values.removeLast()
    }
    return true
  }

  mutating func forget(where isOver: (UInt16) -> Bool) {
    for index in epochs.indices.reversed() where isOver(epochs[index]) {
      epochs.remove(at: index)
      values.remove(at: index)
    }
  }
}

extension EpochEntries: Sendable where Value: Sendable {}
