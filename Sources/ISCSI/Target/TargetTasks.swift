// The open tasks of a target's session, and how much data they may bring.
//
// Memory for a WRITE is promised before an R2T asks for its data: promises never exceed a limit, and
// WRITEs that wait for one get it in the order in which they came. One WRITE alone is always let in.

/// One command between its arrival and its answer.
struct TargetTask: Sendable {
  let handle: TaskHandle
  let header: BasicHeaderSegment
  var collection: DataCollection?
  var isTooLong = false
  /// The owner has it.
  var isDelivered = false
  /// Bytes promised to it.
  var promised = 0

  var expectedLength: Int { Int(header.word20) }
  var isRead: Bool { header.flags & 0x40 != 0 }
  var isWrite: Bool { header.flags & 0x20 != 0 }
}

/// The open tasks by tag, and the promises made to them.
struct TargetTasks: Sendable {
  private(set) var byTag: [UInt32: TargetTask] = [:]
  private(set) var immediateCount = 0
  private let promisedMax: Int
  private var promised = 0
  private var serial: UInt64 = 0
  private var transferTag: UInt32 = 0
  private var waiting = Fifo<TaskHandle>()

  init(promisedMax: Int) {
    self.promisedMax = promisedMax
  }

  var handles: [TaskHandle] { byTag.values.map(\.handle).sorted { $0.serial < $1.serial } }

  subscript(tag: UInt32) -> TargetTask? { byTag[tag] }

  subscript(handle: TaskHandle) -> TargetTask? {
    guard let task = byTag[handle.taskTag], task.handle == handle else { return nil }
    return task
  }

  mutating func nextHandle(_ tag: UInt32) -> TaskHandle {
    serial += 1
    return TaskHandle(taskTag: tag, serial: serial)
  }

  // Below the half that mirrored writes use for their own.
  mutating func nextTransferTag() -> UInt32 {
    transferTag = (transferTag + 1) & 0x7fff_ffff
    return transferTag
  }

  mutating func insert(_ task: TargetTask) {
    precondition(byTag[task.handle.taskTag] == nil, "a tag is open twice")
    byTag[task.handle.taskTag] = task
    if task.header.isImmediate { immediateCount += 1 }
  }

  mutating func update(_ task: TargetTask) {
    precondition(byTag[task.handle.taskTag]?.handle == task.handle, "an unknown task")
    byTag[task.handle.taskTag] = task
  }

  mutating func receive(_ pdu: PDU) -> DataCollection.Verdict? {
    byTag[pdu.header.initiatorTaskTag]?.collection?.receive(pdu)
  }

  mutating func remove(_ handle: TaskHandle) -> TargetTask? {
    guard let task = self[handle] else { return nil }
    byTag[handle.taskTag] = nil
    promised -= task.promised
    if task.header.isImmediate { immediateCount -= 1 }
    return task
  }

  /// Whether the task may ask for its data now; if not it is queued.
  mutating func promise(_ handle: TaskHandle) -> Bool {
    guard let task = self[handle] else { return false }
    if task.promised > 0 { return true }
    guard waiting.isEmpty, fits(task) else {
      waiting.append(handle)
      return false
    }
    grant(task)
    return true
  }

  /// The next task that waited and may ask for its data now.
  mutating func nextPromised() -> TaskHandle? {
    while let handle = waiting.first {
      guard let task = self[handle] else {
        _ = waiting.popFirst()
        continue
      }
      guard fits(task) else { return nil }
      _ = waiting.popFirst()
      grant(task)
      return handle
    }
    return nil
  }

  private func fits(_ task: TargetTask) -> Bool {
    promised == 0 || promised + task.expectedLength <= promisedMax
  }

  private mutating func grant(_ task: TargetTask) {
    promised += task.expectedLength
    byTag[task.handle.taskTag]?.promised = task.expectedLength
  }
}
