// Legs that come into a mirror that lives: by a new epoch, one at a time. New writes are held back
// from the newcomer's registration until all members have confirmed the epoch.
import Bytes
import Replication

/// A leg that is being taken in.
struct Join {
  /// How far it is.
  enum Stage {
    case connecting
    case registering
    /// The members are told; who has yet to confirm.
    case agreeing(LegSet)
    case probing
  }

  static let probesMax = 20
  static let probeNanoseconds: UInt64 = 10_000_000

  let leg: Int
  let place: Int
  let stay: Int
  let isBack: Bool
  var channel: Int
  var stage = Stage.connecting
  var epoch: UInt16 = 0
  var firstWrite = SerialNumber(0)
  var probes = 0
  var probedAt: UInt64 = 0
  var isProbed = false
  /// It was lost meanwhile: as soon as it is a member.
  var isNewcomerLost = false

  var nextDeadline: UInt64 {
    guard case .probing = stage else { return .max }
    return probedAt + Self.probeNanoseconds
  }
}

extension Keeping {
  func joinNext() {
    guard join == nil, !joinsWaiting.isEmpty, !isClosing, initiator.sender != nil,
      desk?.hall?.mayJoin ?? true
    else { return }
    joinsWaiting.removeAll { seats[$0.leg].link == nil || seats[$0.leg].stay != $0.stay }
    guard !joinsWaiting.isEmpty else { return }
    let leg = joinsWaiting.removeFirst().leg
    beginGuestsJoin(leg)
    seats[leg].isJoining = true
    seats[leg].departure = nil
    let place = seats[leg].place ?? initiator.legs.count
    let isBack = seats[leg].place != nil
    seats[leg].place = place
    join = Join(
      leg: leg, place: place, stay: seats[leg].stay, isBack: isBack,
      channel: world.connect(initiator.index, seats[leg].target))
    world.note(initiator.index, "takes leg % in at place %", leg, place)
    world.happens(.taking)
  }

  // MARK: The newcomer's channel

  func handleJoinConnected() {
    guard let sender = initiator.sender else { return }
    // Writes are held back from here on.
    initiator.sender?.value.pause()
    let epoch = sender.value.currentEpoch &+ 1
    join?.stage = .registering
    join?.epoch = epoch
    join?.firstWrite = sender.value.firstUnusedNumber
    sendOrder(on: join?.channel ?? -1)
  }

  private func sendOrder(on channel: Int) {
    guard let join else { return }
    world.send(
      .register(
        RegistrationOrder(
          registration: initiator.registration, epoch: join.epoch, firstWrite: join.firstWrite,
          holder: holder)), on: channel)
  }

  func handleJoinLost() {
    guard let join else { return }
    switch join.stage {
    case .connecting: fail(pauses: false)
    case .registering: fail(pauses: true)
    case .agreeing, .probing: self.join?.isNewcomerLost = true
    }
  }

  private func fail(pauses: Bool) {
    guard let join else { return }
    world.note(initiator.index, "can't take leg % in", join.leg)
    if pauses { initiator.sender?.value.resume(now: world.now) }
    world.close(join.channel, atInitiator: true)
    if seats[join.leg].departure == nil { seats[join.leg].departure = .untold }
    if !join.isBack { seats[join.leg].place = nil }
    endJoin()
  }

  func handleJoinRefused() { fail(pauses: true) }

  func handleProbeSeen(epoch: UInt16) {
    guard join?.epoch == epoch else { return }
    join?.isProbed = true
    stepJoin()
  }

  /// The newcomer is registered: now the members.
  func handleJoinRegistered() {
    guard let sender = initiator.sender, let join, case .registering = join.stage else { return }
    let members = sender.value.activeLegs
    self.join?.stage = .agreeing(members)
    members.forEach { place in sendOrder(on: initiator.legs[place].channel) }
    stepJoin()
  }

  /// A member has confirmed the epoch, or is lost.
  func handleAgreed(place: Int) {
    guard case .agreeing(var waiting) = join?.stage else { return }
    waiting.remove(LegSet(place))
    join?.stage = .agreeing(waiting)
    stepJoin()
  }

  func stepJoin() {
    guard let join, let sender = initiator.sender else { return }
    switch join.stage {
    case .agreeing(let waiting):
      guard waiting.isDisjoint(with: sender.value.activeLegs) else { return }
      takeIn(join)
      self.join?.stage = .probing
      stepJoin()
    case .probing: probe(join)
    case .connecting, .registering: break
    }
  }

  private func takeIn(_ join: Join) {
    let scenario = world.scenario
    let description = LegDescription(
      path: .datagrams, openWritesMax: scenario.openWritesMax, credit: scenario.credit)
    let target = seats[join.leg].target
    var leg = Initiator.Leg(target: target, channel: join.channel)
    leg.isConnected = true
    leg.isRegistered = true
    leg.number = join.place
    if join.isBack {
      initiator.sender?.value.readmit(join.place, as: description)
      initiator.legs[join.place] = leg
    } else {
      let place = initiator.sender?.value.add(description)
      guard place == join.place else { return world.violate("legs are not numbered in order") }
      initiator.legs.append(leg)
      initiator.targetOf.append(target)
      initiator.carried.append([])
    }
  }

  private func probe(_ join: Join) {
    guard !join.isProbed, join.probes < Join.probesMax, !join.isNewcomerLost else {
      if !join.isProbed { initiator.sender?.value.serveByConnection(join.place) }
      return finish(join)
    }
    guard join.probes == 0 || world.now >= join.nextDeadline else { return }
    self.join?.probes += 1
    self.join?.probedAt = world.now
    initiator.sendProbe(epoch: join.epoch)
  }

  private func finish(_ join: Join) {
    initiator.sender?.value.resume(
      epoch: join.epoch, joining: LegSet(join.place), now: world.now)
    let isLost = self.join?.isNewcomerLost == true
    let (leg, stay) = (join.leg, join.stay)
    if isLost {
      initiator.sender?.value.handleLost(leg: join.place, .connection("early"), now: world.now)
      if seats[leg].departure == nil { seats[leg].departure = .untold }
    }
    endJoin()
    guard seats[leg].stay == stay else { return }
    settling.append((leg, stay, join.firstWrite))
  }

  /// It is in, or is not; what had to wait for that happens.
  private func endJoin() {
    guard let leg = join?.leg else { return }
    join = nil
    seats[leg].isJoining = false
    if let departure = seats[leg].departure {
      seats[leg].departure = nil
      tellSender(leg)
      seats[leg].stay += 1
      if departure == .untold {
        closeLink(leg)
        awaited.insert(LegSet(leg))
        machine.handleLost(leg: leg, words: "lost", now: world.now)
        tellGuestsLost(leg)
      }
    }
    if confirmedLater.remove(leg) != nil, let place = seats[leg].place {
      initiator.sender?.value.confirmDetached(LegSet(place), now: world.now)
    }
    if seats[leg].wantsConnection {
      seats[leg].wantsConnection = false
      connect(leg)
    }
    joinNext()
  }

  /// What was begun before a leg came is none of its: it is a member when all of that has ended.
  func settleIn() {
    guard !settling.isEmpty, let sender = initiator.sender else { return }
    var left: [(leg: Int, stay: Int, before: SerialNumber)] = []
    for one in settling {
      guard !sender.value.hasOpen(before: one.before) else {
        left.append(one)
        continue
      }
      guard seats[one.leg].stay == one.stay else { continue }
      desk?.settled.insert(LegSet(one.leg))
      completeJoin(one.leg)
    }
    settling = left
  }
}
