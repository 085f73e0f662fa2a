import Bytes
import ISCSI

extension LossyScene {
  /// A scene in which a read of 5000 bytes has been answered and nothing acknowledged.
  static func answeredRead() -> (LossyScene, tag: UInt32, response: PDU) {
    let scene = LossyScene()
    scene.disk = pattern(65_536, seed: 3)
    // The initiator hears nothing, so it acknowledges nothing.
    scene.harm = { isInitiators, _, _ in isInitiators ? nil : .lost }
    let tag = scene.read(5000)
    scene.crossAll()
    let response = scene.sent.last { $0.header.opcode == .scsiResponse }
    return (scene, tag, response ?? PDU(header: BasicHeaderSegment()))
  }

  /// Sends a PDU that acknowledges nothing more; what comes back, past the wire.
  func again(_ pdu: PDU) -> [PDU] {
    var stamped = pdu
    stamped.header.word28 = expectedStatus
    return target.send(stamped)
  }
}
