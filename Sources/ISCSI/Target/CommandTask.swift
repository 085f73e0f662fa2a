// What a target's session and its owner say to each other about commands.

/// Names one task of one session for its whole life: tags are used again, handles are not.
package struct TaskHandle: Hashable, Sendable {
  package var taskTag: UInt32
  package var serial: UInt64
}

/// A command whose data is here, for the owner to execute and complete.
package struct CommandTask: Sendable {
  package var handle: TaskHandle
  package var lun: UInt64
  package var commandDescriptorBlock: InlineArray<16, UInt8>
  package var dataOut: [UInt8]
  /// How many bytes the initiator is ready to move.
  package var expectedLength: Int
  package var isRead: Bool
  package var isWrite: Bool
  /// The data was longer than the target collects: it is not in `dataOut`, refuse the command.
  package var isTooLong: Bool
  /// Task attribute, RFC 7143 §11.3.1: 0 untagged, 1 simple, 2 ordered, 3 head of queue, 4 ACA.
  package var attribute: UInt8
}

/// A task management function for the owner to carry out and answer.
package struct TaskManagement: Sendable {
  package var handle: TaskHandle
  package var function: TaskManagementFunction
  package var lun: UInt64
  /// The owner's tasks that this ends: no answer of theirs is sent any more.
  package var aborted: [TaskHandle]
}

/// The task of a mirrored write, as task management names it.
package struct MirroredTask: Equatable, Sendable {
  package var taskTag: UInt32
  /// The virtual LUN, as it stands in the LUN field.
  package var lun: UInt64

  package init(taskTag: UInt32, lun: UInt64) {
    self.taskTag = taskTag
    self.lun = lun
  }
}

/// How a command ended.
package struct CommandCompletion: Sendable {
  package var status: UInt8
  package var sense: [UInt8]
  package var dataIn: [UInt8]
  /// How many bytes the command itself asked to move; nil when as many as were moved.
  package var transferLength: Int?

  package init(
    status: UInt8, sense: [UInt8] = [], dataIn: [UInt8] = [], transferLength: Int? = nil
  ) {
    self.status = status
    self.sense = sense
    self.dataIn = dataIn
    self.transferLength = transferLength
  }
}

/// What a target's session has to tell its owner.
package enum TargetEvent: Sendable {
  /// The login has proved all it had to: to be answered by `admit` or `refuse`, where the owner
  /// asked for it.
  case admission(SessionDescription)
  case loggedIn(SessionDescription)
  case command(CommandTask)
  /// A task ended without an answer; the owner forgets it. Task management lists its own.
  case taskAborted(TaskHandle)
  case taskManagement(TaskManagement)
  /// ABORT TASK of a mirrored write, known only to the owner.
  case abortMirrored(MirroredTask, reply: TaskHandle)
  /// Keys for the mirror, ours or the patent's literal ones, to be answered by `respondText`.
  case text(TextKeys, reply: TaskHandle)
  /// A vendor request of the mirror, opcode 0x1c.
  case mirrorRequest(PDU)
  /// The answer to a ping of ours.
  case pingAnswered(tag: UInt32)
  case loggedOut
  /// Nothing more comes: send what `pollOutput` still has, then close.
  case close(CloseReason)
}

/// Why a session ends its connection.
package enum CloseReason: Equatable, Sendable {
  case loginRefused(LoginStatus)
  case notALogin
  case dataSegmentTooLong
  case headerDigest
  case loggedOut
}
