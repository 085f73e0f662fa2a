/// Where the world is kinder than it should be, as long as something is known to fail there.
package enum Workarounds {
  /// Targets are added to a mirror that lives.
  nonisolated(unsafe) package static var addsLate = true
  /// Nothing goes wrong before a new mirror's legs are in sync.
  nonisolated(unsafe) package static var waitsForSync = false
  /// What is copied goes to every leg that takes copies, whether or not it differs there.
  nonisolated(unsafe) package static var copiesToAll = false
}
