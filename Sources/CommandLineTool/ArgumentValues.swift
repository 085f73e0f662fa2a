// A conformance of a public type can be seen by all, so these imports are public; an executable
// exports nothing.

public import ArgumentParser
public import Logging
public import Mirrorcast

extension RecoveryMode: ExpressibleByArgument {}
/// Where legs answer.
enum AnswerPath: String, CaseIterable, ExpressibleByArgument { case stream, session }

/// Whether something is digested.
enum DigestPolicy: String, CaseIterable, ExpressibleByArgument { case on, off }

extension Transport: ExpressibleByArgument {}
extension MirrorSecurity: ExpressibleByArgument {}
extension StatusPolicy: ExpressibleByArgument {}
extension TaskAttribute: ExpressibleByArgument {}
extension Logger.Level: @retroactive ExpressibleByArgument {}
