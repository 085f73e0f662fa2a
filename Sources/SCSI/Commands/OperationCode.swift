/// The first byte of the commands that a disk of ours knows, SPC-4 and SBC-3.
package enum OperationCode: UInt8, CaseIterable, Sendable {
  case testUnitReady = 0x00
  case requestSense = 0x03
  case read6 = 0x08
  case write6 = 0x0a
  case inquiry = 0x12
  case modeSense6 = 0x1a
  case startStopUnit = 0x1b
  case preventAllowMediumRemoval = 0x1e
  case readCapacity10 = 0x25
  case read10 = 0x28
  case write10 = 0x2a
  case writeAndVerify10 = 0x2e
  case verify10 = 0x2f
  case synchronizeCache10 = 0x35
  case writeSame10 = 0x41
  case unmap = 0x42
  case modeSense10 = 0x5a
  case read16 = 0x88
  case write16 = 0x8a
  case writeAndVerify16 = 0x8e
  case verify16 = 0x8f
  case synchronizeCache16 = 0x91
  case writeSame16 = 0x93
  case serviceActionIn16 = 0x9e
  case reportLUNs = 0xa0
  case read12 = 0xa8
  case write12 = 0xaa
  case writeAndVerify12 = 0xae
  case verify12 = 0xaf
}
