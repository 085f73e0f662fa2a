import Bytes
import ISCSI
public import Logging
import SCSI

/// Asks a portal what it serves, as any initiator can.
public enum Discovery {
  /// Lists the targets behind a portal and their disks: a discovery session for the names, then a
  /// session with each target at that portal. A target that doesn't admit us is listed without
  /// disks, and one whose name no target may have isn't listed at all: the log says so. Throws
  /// `MirrorcastError`.
  public static func list(
    portal: PortalAddress, identity: InitiatorIdentity, logger: Logger
  ) async throws -> [DiscoveredTarget] {
    var targets = try await names(portal, identity, logger)
    for index in targets.indices {
      do throws(MirrorcastError) {
        targets[index].luns = try await disks(
          of: targets[index].name, portal, identity, logger)
      } catch {
        logger.warning("disks not listed", metadata: ["reason": "\(error)"])
      }
    }
    return targets
  }

  private static func names(
    _ portal: PortalAddress, _ identity: InitiatorIdentity, _ logger: Logger
  ) async throws(MirrorcastError) -> [DiscoveredTarget] {
    let connection = try await InitiatorConnection.open(
      host: portal.host, port: portal.port,
      login: InitiatorLoginRequest(identity: identity, targetName: nil), logger: logger)
    let answer: TextKeys
    do throws(MirrorcastError) {
      answer = try await connection.text(TextKeys([.init(KeyName.sendTargets, "All")]))
    } catch {
      await connection.close()
      throw error
    }
    await connection.close()
    let found = targets(in: answer)
    if found.refused > 0 {
      logger.warning(
        "names or addresses that no target may have were left out",
        metadata: ["portal": "\(connection.portal)", "count": "\(found.refused)"])
    }
    return found.targets
  }

  // RFC 7143 appendix C: each TargetName is followed by the addresses of that target. Whoever has
  // made up the list, what is taken of it gets to terminals, scripts and paths of others.
  static func targets(in answer: TextKeys) -> (targets: [DiscoveredTarget], refused: Int) {
    var targets: [DiscoveredTarget] = []
    var refused = 0
    var isTaken = false
    for pair in answer.pairs {
      switch pair.key {
      case KeyName.targetName:
        isTaken = NodeName.isValid(pair.value)
        guard isTaken else {
          refused += 1
          continue
        }
        targets.append(DiscoveredTarget(name: pair.value, portals: [], luns: []))
      case KeyName.targetAddress where isTaken:
        guard TargetAddress.isValid(pair.value) else {
          refused += 1
          continue
        }
        targets[targets.count - 1].portals.append(pair.value)
      default:
        break
      }
    }
    return (targets, refused)
  }

  private static func disks(
    of target: String, _ portal: PortalAddress, _ identity: InitiatorIdentity, _ logger: Logger
  ) async throws(MirrorcastError) -> [DiscoveredDisk] {
    let connection = try await InitiatorConnection.open(
      host: portal.host, port: portal.port,
      login: InitiatorLoginRequest(identity: identity, targetName: target),
      logger: logger)
    do throws(MirrorcastError) {
      let disks = try await connection.disks(logger)
      await connection.close()
      return disks
    } catch {
      await connection.close()
      throw error
    }
  }
}

private typealias DiscoveredDisk =
  (lun: Int, byteCount: UInt64, blockSize: Int, vendor: String, product: String)

extension InitiatorConnection {
  /// The disks among the target's logical units, in order of their numbers.
  fileprivate func disks(_ logger: Logger) async throws(MirrorcastError) -> [DiscoveredDisk] {
    var disks: [DiscoveredDisk] = []
    for number in try await logicalUnitNumbers() {
      do throws(MirrorcastError) {
        let disk = try await describeDisk(number)
        disks.append(
          (
            lun: Int(number.value), byteCount: disk.geometry.byteCount,
            blockSize: Int(disk.geometry.blockLength), vendor: disk.vendor, product: disk.product
          ))
      } catch {
        // Controllers, and disks that are not ready, stand beside those that are.
        logger.debug("not listed", metadata: ["reason": "\(error)"])
      }
    }
    return disks
  }

  /// The numbers of all logical units that this initiator can see.
  func logicalUnitNumbers() async throws(MirrorcastError) -> [LogicalUnitNumber] {
    let room = 16 + 8 * (LogicalUnitNumber.max + 1)
    // SPC-4 §6.33: every target answers it at LUN 0, whether a disk is there or not.
    let outcome = try await command(
      lun: .zero, .reportLUNs(allocationLength: UInt32(room)), transfer: .read(lengthMax: room))
    // Safe: the span over the outcome's own bytes ends with the expression.
    guard outcome.isGood, let numbers = unsafe ReportLUNs.numbers(in: outcome.data.span.bytes)
    else {
      throw MirrorcastError(
        "\(portal) does not list its logical units: \(outcome.text)",
        advice: "Look at the target's log.")
    }
    return numbers.sorted()
  }
}

extension LogicalUnitNumber {
  fileprivate static var zero: LogicalUnitNumber {
    guard let zero = LogicalUnitNumber(0) else { preconditionFailure("0 is a LUN") }
    return zero
  }
}
