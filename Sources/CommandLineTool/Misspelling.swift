import ArgumentParser

/// A first word that is no command.
enum Misspelling {
  /// The word, and the command that was meant, as far as that can be guessed; nil where the word is
  /// a command, or an option.
  static func find(_ word: String?) -> (wrong: String, right: String?)? {
    let names = MirrorcastCommand.configuration.subcommands.compactMap {
      $0.configuration.commandName
    }
    guard let word, !word.hasPrefix("-"), word != "help", !names.contains(word) else { return nil }
    let near = names.map { ($0, distance(Array(word), Array($0))) }.min { $0.1 < $1.1 }
    return (word, near.flatMap { $0.1 <= max(2, $0.0.count / 3) ? $0.0 : nil })
  }

  /// Characters to be put in, taken out or changed to get from one to the other.
  private static func distance(_ one: [Character], _ other: [Character]) -> Int {
    var row = Array(0...other.count)
    for (index, character) in one.enumerated() {
      var above = row[0]
      row[0] = index + 1
      for (column, candidate) in other.enumerated() {
        let changed = above + (character == candidate ? 0 : 1)
        above = row[column + 1]
        row[column + 1] = min(changed, above + 1, row[column] + 1)
      }
    }
    return row[other.count]
  }
}
