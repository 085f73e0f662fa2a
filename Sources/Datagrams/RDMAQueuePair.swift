#if RDMA
  internal import CVerbs
  internal import Glibc
  internal import Lanes

  /// A queue pair for datagrams with what it lives by: domain, channel, two queues of completions.
  /// Owned by one thread.
  ///
  /// One of the two directions is used in earnest; completions of that one are told on the channel.
  @safe
  final class RDMAQueuePair {
    /// What a queue pair is for.
    enum Direction { case sends, receives }

    static let completionsMax = Int(mirrorcast_verbs_chain_max)

    let key: UInt32
    let depth: Int
    let pair: UnsafeMutablePointer<ibv_qp>
    let domain: RDMADomain
    let watch: RDMAWatch
    private let channel: UnsafeMutablePointer<ibv_comp_channel>
    /// Of the direction that is used, and of the other.
    private let queue: UnsafeMutablePointer<ibv_cq>
    private let otherQueue: UnsafeMutablePointer<ibv_cq>
    private let completions: UnsafeMutablePointer<mirrorcast_verbs_completion>
    // Safe: what is made is put in, and given back by deinit.
    private var memory: [UnsafeMutablePointer<ibv_mr>] = unsafe []
    private var groups: [RDMAGroup] = []
    private var memberships: [any RDMAMembership] = []
    /// The next completion is told on the channel.
    private(set) var isArmed = false

    /// Made, with no state yet: `initialize()`, then receives, then `start()`.
    init(
      in domain: RDMADomain, key: UInt32, _ direction: Direction, depth: Int
    ) throws(SystemError) {
      let device = domain.device
      let depth = min(depth, device.depthMax)
      let watch = try RDMAWatch(device, port: domain.place.port)
      var undo = Undo()
      // Safe: all are made here and kept until deinit, or given back by `undo` when one fails.
      let channel = unsafe try undo.made(mirrorcast_verbs_channel(device.context), "a channel") {
        unsafe mirrorcast_verbs_close_channel($0)
      }
      let queue = unsafe try undo.made(
        ibv_create_cq(device.context, Int32(depth), nil, channel, 0), "a completion queue"
      ) { unsafe _ = ibv_destroy_cq($0) }
      let other = unsafe try undo.made(
        ibv_create_cq(device.context, 1, nil, nil, 0), "a completion queue"
      ) { unsafe _ = ibv_destroy_cq($0) }
      let sends = direction == .sends
      let pair = unsafe try undo.made(
        mirrorcast_verbs_queue_pair(
          domain.domain, sends ? queue : other, sends ? other : queue, sends ? UInt32(depth) : 1,
          sends ? 1 : UInt32(depth)), "a queue pair"
      ) { unsafe _ = ibv_destroy_qp($0) }
      undo.forget()
      self.key = key
      self.depth = depth
      self.domain = domain
      self.watch = watch
      unsafe self.channel = channel
      unsafe self.queue = queue
      unsafe otherQueue = other
      unsafe self.pair = pair
      unsafe completions = .allocate(capacity: Self.completionsMax)
    }

    deinit {
      // Safe: made by this object, given back in the opposite order.
      for group in groups {
        var route = group.route
        unsafe _ = mirrorcast_verbs_detach(pair, &route)
      }
      unsafe _ = ibv_destroy_qp(pair)
      unsafe memory.forEach { unsafe _ = ibv_dereg_mr($0) }
      unsafe _ = ibv_destroy_cq(queue)
      unsafe _ = ibv_destroy_cq(otherQueue)
      unsafe mirrorcast_verbs_close_channel(channel)
      unsafe completions.deallocate()
    }

    var place: RDMAPlace { domain.place }
    // Safe: the object's own.
    var descriptor: Int32 { unsafe channel.pointee.fd }
    // Safe: the object's own.
    var number: UInt32 { unsafe pair.pointee.qp_num }

    var queuePair: QueuePairPlace {
      QueuePairPlace(
        endpoint: Endpoint(gid: place.gid.gid, queuePair: number), key: key, mtu: place.mtu)
    }

    // MARK: States

    func initialize() throws(SystemError) {
      // Safe: the object's own.
      try SystemError.check(
        unsafe mirrorcast_verbs_initialize(pair, place.port, key), "ready a queue pair")
    }

    func start() throws(SystemError) {
      // Safe: the object's own.
      try SystemError.check(unsafe mirrorcast_verbs_start(pair), "start a queue pair")
    }

    /// Out of an error: what was posted is gone.
    func reset() throws(SystemError) {
      // Safe: the object's own.
      try SystemError.check(unsafe mirrorcast_verbs_stop(pair, IBV_QPS_RESET), "reset a queue pair")
    }

    /// Into error, where a device may bring it at any time; for tests.
    func fail() throws(SystemError) {
      // Safe: the object's own.
      try SystemError.check(
        unsafe mirrorcast_verbs_stop(pair, IBV_QPS_ERR), "fail a queue pair")
    }

    // MARK: Memory, groups

    /// Lets the device reach memory, which stays as long as this object; the key to it.
    func register(
      _ start: UnsafeMutableRawPointer, byteCount: Int
    ) throws(SystemError) -> UInt32 {
      // Safe: the caller keeps the memory; the region is given back by deinit.
      guard let region = unsafe mirrorcast_verbs_register(domain.domain, start, byteCount) else {
        throw SystemError(
          doing: "register \(byteCount) bytes of memory", number: mirrorcast_verbs_errno())
      }
      unsafe memory.append(region)
      return unsafe region.pointee.lkey
    }

    /// Takes what is sent to the group, as long as the object lives.
    func attach(_ group: RDMAGroup) throws(SystemError) {
      var route = group.route
      // Safe: the object's own.
      let result = unsafe mirrorcast_verbs_attach(pair, &route)
      // Which the library gives for a group that is full, too.
      if result == -ENOMEM {
        throw SystemError(doing: "attach one more queue pair to the group", number: EMLINK)
      }
      try SystemError.check(result, "attach to the group")
      groups.append(group)
    }

    /// Hears of a group's end, too.
    func follow(_ group: RDMAGroup) throws(SystemError) {
      guard let membership = group.membership else { return }
      try watch.watch(also: membership.descriptor)
      memberships.append(membership)
    }

    // MARK: News

    /// What the device or the fabric tells next; nil for nothing.
    func nextNews() -> PortNews? {
      if let news = watch.next() { return news }
      for membership in memberships {
        if let news = membership.next(of: domain.device.name) { return news }
      }
      return nil
    }

    // MARK: Completions

    /// Takes what is complete, how many; takes the channel's notice too, where it may have one.
    func poll(atMost most: Int = completionsMax) throws(SystemError) -> Int {
      // Safe: the object's own; the list has room for the most that is asked for.
      if isArmed, unsafe mirrorcast_verbs_take_notice(channel) > 0 { isArmed = false }
      return Int(
        try SystemError.check(
          unsafe mirrorcast_verbs_poll(
            queue, completions, UInt32(min(most, Self.completionsMax))),
          "look for completions"))
    }

    /// One of those that the last poll took.
    func completion(_ index: Int) -> mirrorcast_verbs_completion {
      precondition(index < Self.completionsMax, "no such completion")
      // Safe: the index is checked; a completion is numbers.
      return unsafe completions[index]
    }

    /// Has the next completion told. What came before is not: look once more after this.
    func arm() throws(SystemError) {
      // Safe: the object's own.
      try SystemError.check(unsafe mirrorcast_verbs_arm(queue), "wait for completions")
      isArmed = true
    }
  }

  /// What was made so far, to be given back when the next can't be had.
  private struct Undo: ~Copyable {
    private var steps: [() -> Void] = []

    mutating func made<Value>(
      _ value: UnsafeMutablePointer<Value>?, _ what: String,
      _ giveBack: @escaping (UnsafeMutablePointer<Value>) -> Void
    ) throws(SystemError) -> UnsafeMutablePointer<Value> {
      // Safe: a pointer or none; given back once, by `deinit`, unless it is forgotten.
      guard let value = unsafe value else {
        throw SystemError(doing: "make \(what)", number: mirrorcast_verbs_errno())
      }
      steps.append { unsafe giveBack(value) }
      return unsafe value
    }

    mutating func forget() { steps.removeAll() }

    deinit { for step in steps.reversed() { step() } }
  }
#endif
