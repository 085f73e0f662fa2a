// The open tasks of a target's session, and how much data they may bring.
//
// Memory for a WRITE is promised before an R2T asks for its data: promises never exceed a limit,
// and WRITEs that wait for one get it in the order in which they came. One WRITE alone is always
// let in. A WRITE whose data all comes unasked counts as promised, too. An owner that shares memory
// out between sessions allows promises up to a sum of its own, which no R2T exceeds.

/// One command between its arrival and its answer.
struct TargetTask: Sendable {
  let handle: TaskHandle
  let header: BasicHeaderSegment
  var isTooLong = false
  /// The owner has it.
  var isDelivered = false
  /// No more than the end of its data is awaited.
  var isAborted = false
  /// Bytes promised to it, or sure to come unasked.
  var promised = 0
  /// To be told in its response, RFC 7143 §11.4.4.
  var snackTag: UInt32 = 0

  var expectedLength: Int { Int(header.word20) }
  var isRead: Bool { header.flags & 0x40 != 0 }
  var isWrite: Bool { header.flags & 0x20 != 0 }
}

/// A task management request between its arrival and its answer.
struct OpenFunction: Sendable {
  let handle: TaskHandle
  /// What the owner is to carry out once none is awaited.
  var held: TaskManagement?
  /// Tasks whose initiator still owes data.
  var awaited: Set<TaskHandle> = []
}

/// The open tasks by tag, the data that they collect, and the promises made to them. Data is
/// changed where it lies: a collection is never taken out and put back, which would copy it.
struct TargetTasks: Sendable {
  private(set) var byTag: [UInt32: TargetTask] = [:]
  private var collections: [UInt32: DataCollection] = [:]
  private(set) var immediateCount = 0
  /// Task management requests that have not been answered, by their tags.
  private var functions: [UInt32: OpenFunction] = [:]
  private(set) var abortedCount = 0
  private let promisedMax: Int
  private(set) var promised = 0
  /// Up to where the owner lets promises grow.
  var allowance = Int.max
  private var serial: UInt64 = 0
  private var transferTag: UInt32 = 0
  private var waiting = Fifo<TaskHandle>()
  private var silences: [TaskHandle: Silence] = [:]
  /// How many collections await data.
  private var awaitingCount = 0

  /// Since when a sequence of data has stood where it stands.
  private struct Silence {
    var progress: UInt64
    var since: UInt64
  }

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

  // MARK: Task management

  var functionCount: Int { functions.count }

  func isFunction(_ tag: UInt32) -> Bool { !functions.isEmpty && functions.keys.contains(tag) }

  mutating func beginFunction(_ tag: UInt32) -> TaskHandle {
    let handle = nextHandle(tag)
    functions[tag] = OpenFunction(handle: handle)
    return handle
  }

  /// Aborts a task whose data has been asked for: false where none has.
  mutating func abandon(_ handle: TaskHandle) -> Bool {
    guard collections[handle.taskTag]?.abandon() == true else { return false }
    byTag[handle.taskTag]?.isAborted = true
    abortedCount += 1
    return true
  }

  /// Has a function wait for the ends of tasks that were abandoned.
  mutating func hold(_ management: TaskManagement, for awaited: Set<TaskHandle>) {
    functions[management.handle.taskTag]?.held = management
    functions[management.handle.taskTag]?.awaited = awaited
  }

  /// An abandoned task has ended; the functions that have waited for it, and for nothing else.
  mutating func release(_ handle: TaskHandle) -> [TaskManagement] {
    var released: [TaskManagement] = []
    for tag in functions.keys.sorted() where functions[tag]?.awaited.remove(handle) != nil {
      guard functions[tag]?.awaited.isEmpty == true, let held = functions[tag]?.held else {
        continue
      }
      functions[tag]?.held = nil
      released.append(held)
    }
    return released
  }

  /// Whether it had not been answered.
  mutating func endFunction(_ handle: TaskHandle) -> Bool {
    guard functions[handle.taskTag]?.handle == handle else { return false }
    functions[handle.taskTag] = nil
    return true
  }

  // MARK: Data

  // Below the half that mirrored writes use for their own.
  mutating func nextTransferTag() -> UInt32 {
    transferTag = (transferTag + 1) & 0x7fff_ffff
    return transferTag
  }

  mutating func insert(_ task: TargetTask, _ collection: DataCollection?) {
    precondition(byTag[task.handle.taskTag] == nil, "a tag is open twice")
    if let collection {
      collections[task.handle.taskTag] = collection
      if collection.isAwaiting { awaitingCount += 1 }
    }
    byTag[task.handle.taskTag] = task
    promised += task.promised
    if task.header.isImmediate { immediateCount += 1 }
  }

  /// Where a task's data stands; nil when it has none.
  func phase(of handle: TaskHandle) -> DataCollection.Phase? {
    collections[handle.taskTag]?.phase
  }

  func requestCount(of handle: TaskHandle) -> UInt32 {
    collections[handle.taskTag]?.requestCount ?? 0
  }

  mutating func receive(_ pdu: PDU) -> DataCollection.Verdict? {
    // By its place: by its key a collection would be moved out and back.
    guard let place = collections.index(forKey: pdu.header.initiatorTaskTag) else { return nil }
    let verdict = collections.values[place].receive(pdu)
    if verdict.isOver { awaitingCount -= 1 }
    return verdict
  }

  /// Whether data of any task is due.
  var awaitsData: Bool { awaitingCount > 0 }

  /// Looks where all sequences stand; those of which nothing new has come for `limit` nanoseconds,
  /// `abortedLimit` where their task was aborted.
  mutating func silent(
    now: UInt64, after limit: UInt64, aborted abortedLimit: UInt64
  ) -> [TaskHandle] {
    let before = silences
    silences = [:]
    for (tag, collection) in collections where collection.isAwaiting {
      guard let handle = byTag[tag]?.handle else { continue }
      let known = before[handle].flatMap { $0.progress == collection.progress ? $0 : nil }
      silences[handle] = known ?? Silence(progress: collection.progress, since: now)
    }
    return silences.filter { handle, silence in
      let isAborted = byTag[handle.taskTag]?.isAborted == true
      return now - silence.since >= (isAborted ? abortedLimit : limit)
    }.keys.sorted { $0.serial < $1.serial }
  }

  /// What becomes of a task whose data has been silent for too long.
  mutating func handleSilence(of handle: TaskHandle) -> DataCollection.Verdict? {
    silences[handle] = nil
    let verdict = collections[handle.taskTag]?.handleSilence()
    if verdict?.isOver == true { awaitingCount -= 1 }
    return verdict
  }

  /// The R2Ts of a task that have not been answered.
  func unanswered(of handle: TaskHandle) -> [DataCollection.Request] {
    collections[handle.taskTag]?.unanswered ?? []
  }

  mutating func setSNACKTag(_ tag: UInt32, _ snackTag: UInt32) { byTag[tag]?.snackTag = snackTag }

  /// The next R2T of a task, under a new transfer tag.
  mutating func request(_ handle: TaskHandle, burstMax: Int) -> DataCollection.Request? {
    let tag = nextTransferTag()
    let request = collections[handle.taskTag]?.request(tag: tag, burstMax: burstMax)
    guard let request else { return nil }
    awaitingCount += 1
    return request
  }

  /// Marks a task as handed to the owner, with the data that goes along.
  mutating func deliver(_ handle: TaskHandle) -> [UInt8] {
    byTag[handle.taskTag]?.isDelivered = true
    return collections[handle.taskTag]?.takeBytes() ?? []
  }

  mutating func remove(_ handle: TaskHandle) -> TargetTask? {
    guard let task = self[handle] else { return nil }
    byTag[handle.taskTag] = nil
    if collections.removeValue(forKey: handle.taskTag)?.isAwaiting == true { awaitingCount -= 1 }
    promised -= task.promised
    if task.header.isImmediate { immediateCount -= 1 }
    if task.isAborted { abortedCount -= 1 }
    // Tasks that were aborted while they waited don't pile up behind one that waits on.
    if waiting.count > 64 + 2 * byTag.count {
      let open = byTag
      waiting.removeAll { open[$0.taskTag]?.handle != $0 }
    }
    while let first = waiting.first, self[first] == nil { _ = waiting.popFirst() }
    return task
  }

  /// What the owner would have to allow for the task that waits first; nil where none waits, or
  /// where it waits for others of its session.
  var wantedAllowance: Int? {
    guard let task = waiting.first.flatMap({ self[$0] }), hasRoom(for: task) else { return nil }
    return promised + task.expectedLength
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

  private func hasRoom(for task: TargetTask) -> Bool {
    promised == 0 || promised + task.expectedLength <= promisedMax
  }

  private func fits(_ task: TargetTask) -> Bool {
    hasRoom(for: task) && promised + task.expectedLength <= allowance
  }

  private mutating func grant(_ task: TargetTask) {
    promised += task.expectedLength
    byTag[task.handle.taskTag]?.promised = task.expectedLength
  }
}
