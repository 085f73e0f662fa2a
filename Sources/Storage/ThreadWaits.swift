import CStorage

/// How often the calling thread has slept because it waited for something: what tells a write that
/// the kernel held up from one whose thread merely lost its core for a while.
package enum ThreadWaits {
  package static var count: UInt64 { mirrorcast_thread_waits() }
}
