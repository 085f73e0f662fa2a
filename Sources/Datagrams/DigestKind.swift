internal import CDigest

/// How this processor digests datagrams.
package enum DigestKind {
  /// What to call it in front of people.
  package static var name: String {
    // Safe: a literal that ends with a zero.
    unsafe String(cString: mirrorcast_crc32c_kind_name(mirrorcast_crc32c_kind()))
  }
}
