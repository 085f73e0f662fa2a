/// A machine in a place of its own, so that asking it something copies nothing of it.
final class Machine<Value> {
  var value: Value

  init(_ value: Value) { self.value = value }
}
