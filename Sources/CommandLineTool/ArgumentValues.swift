// A conformance of a public type can be seen by all, so these imports are public; an executable
// exports nothing.

public import ArgumentParser
public import Logging
public import Mirrorcast

extension RecoveryMode: ExpressibleByArgument {}
extension StatusPolicy: ExpressibleByArgument {}
extension Logger.Level: @retroactive ExpressibleByArgument {}
