/// What went wrong, and where it is known, what to do about it.
public struct MirrorcastError: Error, Sendable, CustomStringConvertible {
  /// What happened, in one clause that names its object: a host, a LUN, a file.
  public var what: String
  /// What to do about it, as a sentence; nil where nothing useful is known.
  public var advice: String?

  public init(_ what: String, advice: String? = nil) {
    self.what = what
    self.advice = advice
  }

  public var description: String {
    guard let advice else { return what }
    return "\(what). \(advice)"
  }
}
