/// What went wrong, and where it is known, what to do about it.
public struct MirrorcastError: Error, Sendable, CustomStringConvertible {
  /// What happened, in one clause that names its object: a host, a LUN, a file.
  public var what: String
  /// What to do about it, as a sentence; nil where nothing useful is known.
  public var advice: String?
  /// What was found out on the way, a line for each object.
  public var details: [String]

  public init(_ what: String, advice: String? = nil, details: [String] = []) {
    self.what = what
    self.advice = advice
    self.details = details
  }

  public var description: String {
    let all = ([what] + details.map { "\n  \($0)" }).joined()
    guard let advice else { return all }
    return details.isEmpty ? "\(what). \(advice)" : "\(all)\n\(advice)"
  }
}
