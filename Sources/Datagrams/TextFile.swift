internal import Glibc

/// A short text of the kernel's.
package enum TextFile {
  package static func read(_ path: String) -> String? {
    // Safe: the text ends with a zero and lives as long as the call.
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 8192)
    // Safe: the call fills at most the array's own bytes.
    let count = unsafe Glibc.read(descriptor, &bytes, bytes.count)
    return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
  }
}
