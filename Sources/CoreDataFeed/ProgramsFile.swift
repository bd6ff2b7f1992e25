public import TrackingModel

/// A JSON file of programs: an array, an object with the array `programs`, or objects one after another (JSON lines).
public enum ProgramsFile {
    /// What is wrong with the file, and where.
    public struct Fault: Error, Sendable, Hashable, CustomStringConvertible {
        /// From 1; nil where no line is to blame, such as a file that cannot be read.
        public let line: Int?
        public let reason: String

        public init(line: Int?, reason: String) {
            self.line = line
            self.reason = reason
        }

        public var description: String { line.map { "line \($0): \(reason)" } ?? reason }
    }

    /// Larger files are refused, in bytes.
    public static let maximumBytes = 256 * 1024 * 1024

    /// The programs of the file at `path`.
    public static func read(path: String) throws(Fault) -> [Program] {
        try parse(FileContents.read(path: path, maximumBytes: maximumBytes))
    }

    /// All programs in their order, or the first fault. The same id twice is a fault.
    public static func parse(_ bytes: [UInt8]) throws(Fault) -> [Program] {
        var splitter = JSONSplitter(bytes)
        var programs: [Program] = []
        var lines: [ProgramID: Int] = [:]
        while let object = try splitter.next() {
            let program = try Self.program(object, number: programs.count + 1)
            if let first = lines.updateValue(object.line, forKey: program.id) {
                let reason = "program \(program.id) (entry \(programs.count + 1)) stands in line \(first) already"
                throw Fault(line: object.line, reason: reason)
            }
            programs.append(program)
        }
        return programs
    }

    private static func program(_ object: JSONSplitter.Object, number: Int) throws(Fault) -> Program {
        guard object.bytes.count <= ProgramStore.maximumProgramBytes else {
            let reason = "entry \(number) is larger than \(ProgramStore.maximumProgramBytes) bytes"
            throw Fault(line: object.line, reason: reason)
        }
        do {
            return try Program(json: Array(object.bytes))
        } catch {
            throw Fault(line: object.line, reason: "entry \(number): \(error)")
        }
    }

    /// Three programs that always run, for a first try without Redis or a file.
    public static let sample: [Program] = ["212312", "212313", "212314"].compactMap { text in
        guard let id = ProgramID(text) else { return nil }
        var program = Program(id: id)
        program.name = "Sample program \(text)"
        program.checksum = "sample"
        program.customerID = 1
        program.customerName = "Sample customer"
        program.isValid = true
        program.version = 1
        return program
    }
}
