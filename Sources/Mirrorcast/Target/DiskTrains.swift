// Small writes go to their disk in trains. Handing a command to a worker's thread and its answer
// back costs more than the write itself, so what comes while one train is under way waits and makes
// the next: with many in flight, one hand-over serves them all. A write that is alone is not handed
// over at all while the disk's cache takes such writes promptly, see `CachePace`. Whatever may take
// long (large or forced writes, flushes, reads that miss the cache) goes alone, side by side.

import ISCSI
import Storage

/// One small write in a train.
struct DiskCar: Sendable {
  let handle: TaskHandle
  let command: DiskOperationCommand
}

/// The small writes of one connection that wait for their disk's train.
struct DiskTrains {
  /// Who waits at each disk, by the number of its LUN.
  private var waiting: [Int: [DiskCar]] = [:]
  private var underWay: Set<Int> = []

  mutating func board(_ car: DiskCar, lun: Int) {
    waiting[lun, default: []].append(car)
  }

  /// The next train that may leave, and its disk.
  mutating func depart() -> (lun: Int, cars: [DiskCar])? {
    guard !waiting.isEmpty, let lun = waiting.keys.first(where: { !underWay.contains($0) }),
      let cars = waiting.removeValue(forKey: lun)
    else { return nil }
    underWay.insert(lun)
    return (lun, cars)
  }

  mutating func arrive(lun: Int) {
    underWay.remove(lun)
  }
}

/// How each command of a train has ended.
typealias TrainResults = [(TaskHandle, CommandCompletion)]

/// A train at its disk, on a worker's thread.
final class DiskTrain: StorageWork {
  private let cars: [DiskCar]
  private let ended: @Sendable (TrainResults) -> Void

  init(_ cars: [DiskCar], _ ended: @escaping @Sendable (TrainResults) -> Void) {
    self.cars = cars
    self.ended = ended
  }

  func run() {
    ended(
      cars.map { car in
        let completion = car.command.run()
        car.command.unit.changes.end()
        return (car.handle, completion)
      })
  }
}
