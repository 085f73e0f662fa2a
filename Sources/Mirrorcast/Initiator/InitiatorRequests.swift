import ISCSI

/// A command between its submission and its last answer, over all its attempts.
struct PendingCommand: Sendable {
  typealias Completion = @Sendable (Result<CommandOutcome, MirrorcastError>) -> Void

  let command: InitiatorCommand
  let completion: Completion
  var retry = CommandRetry()

  init(_ command: InitiatorCommand, completion: @escaping Completion) {
    self.command = command
    self.completion = completion
  }
}

/// What this side has asked on a connection and has no answer to, by task tag.
struct InitiatorRequests {
  typealias TextCompletion = @Sendable (Result<TextKeys, MirrorcastError>) -> Void
  typealias FunctionCompletion =
    @Sendable (Result<TaskManagementResponse, MirrorcastError>) -> Void

  var commands: [UInt32: PendingCommand] = [:]
  var texts: [UInt32: TextCompletion] = [:]
  var functions: [UInt32: FunctionCompletion] = [:]

  var isEmpty: Bool { commands.isEmpty && texts.isEmpty && functions.isEmpty }

  /// Takes one request out, whatever it is; what is returned ends it with the words of an error.
  mutating func take(_ tag: UInt32) -> (@Sendable (MirrorcastError) -> Void)? {
    if let command = commands.removeValue(forKey: tag) {
      return { command.completion(.failure($0)) }
    }
    if let text = texts.removeValue(forKey: tag) {
      return { text(.failure($0)) }
    }
    if let function = functions.removeValue(forKey: tag) {
      return { function(.failure($0)) }
    }
    return nil
  }

  /// Takes all requests out, in the order in which they were made.
  mutating func takeAll() -> [@Sendable (MirrorcastError) -> Void] {
    let tags = (Array(commands.keys) + Array(texts.keys) + Array(functions.keys)).sorted()
    return tags.compactMap { take($0) }
  }
}
