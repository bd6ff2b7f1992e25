/// The names of a file sink's files: 20 digits that only grow, so that the order of names is the order of events.
public enum EventFileName {
    static let suffix = ".pb"

    /// The number in the name of a file that readers are meant to see, else nil.
    static func number(of name: String) -> UInt64? {
        guard name.hasSuffix(Self.suffix), name.utf8.count == 23 else { return nil }
        return UInt64(name.dropLast(Self.suffix.count))
    }

    static func visible(_ number: UInt64) -> String { Self.digits(number) + Self.suffix }

    /// Names that begin with a dot and do not end in `.pb`: nobody reads them by accident.
    static func hidden(_ number: UInt64, _ letter: Character) -> String { ".\(Self.digits(number)).\(letter)" }

    static func isHidden(_ name: String) -> Bool {
        name.hasPrefix(".") && name.utf8.count == 23 && UInt64(name.dropFirst().dropLast(2)) != nil
    }

    private static func digits(_ number: UInt64) -> String {
        let text = String(number)
        return String(repeating: "0", count: 20 - text.count) + text
    }
}
