/// Cuts a document of programs into its objects without parsing them, so that each can be judged alone and blamed by line.
struct JSONSplitter {
    struct Object {
        let bytes: ArraySlice<UInt8>
        /// Where it begins, from 1.
        let line: Int
    }

    private enum Form {
        /// Nothing was read yet.
        case unknown
        /// Objects with commas between them, up to a bracket; `closers` must follow it.
        case array(closers: [UInt8])
        /// Objects one after another to the end.
        case sequence
    }

    private let bytes: [UInt8]
    private var place = 0
    private var line = 1
    private var form = Form.unknown
    private var isFirst = true

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { place = 3 }
    }

    /// The next object; nil at the proper end of the document.
    mutating func next() throws(ProgramsFile.Fault) -> Object? {
        if case .unknown = form { try begin() }
        skipSpace()
        switch form {
        case .array(let closers): return try nextInArray(closers)
        case .sequence, .unknown: return place < bytes.count ? try object() : nil
        }
    }

    private var byte: UInt8? { place < bytes.count ? bytes[place] : nil }

    private func fault(_ reason: String) -> ProgramsFile.Fault { .init(line: line, reason: reason) }

    private mutating func begin() throws(ProgramsFile.Fault) {
        skipSpace()
        switch byte {
        case UInt8(ascii: "["):
            place += 1
            form = .array(closers: [])
        case UInt8(ascii: "{"):
            form = try enterPrograms() ? .array(closers: [UInt8(ascii: "}")]) : .sequence
        default: throw fault(byte == nil ? "there is nothing in the file" : "an array or an object must begin here")
        }
    }

    private mutating func nextInArray(_ closers: [UInt8]) throws(ProgramsFile.Fault) -> Object? {
        if byte == UInt8(ascii: "]") {
            place += 1
            try end(closers)
            return nil
        }
        if !isFirst {
            guard byte == UInt8(ascii: ",") else { throw fault("a comma or a closing bracket is missing") }
            place += 1
            skipSpace()
        }
        isFirst = false
        return try object()
    }

    private mutating func end(_ closers: [UInt8]) throws(ProgramsFile.Fault) {
        for closer in closers {
            // Other members may follow `programs`; they are not ours.
            while byte != closer {
                guard byte != nil else { throw fault("a closing brace is missing") }
                let before = place
                try skipValue()
                if place == before { step() }
            }
            place += 1
        }
        skipSpace()
        if byte != nil { throw fault("something follows the end of the document") }
    }

    private mutating func object() throws(ProgramsFile.Fault) -> Object {
        guard byte == UInt8(ascii: "{") else { throw fault("a program must begin here with a brace") }
        let (start, startLine) = (place, line)
        try skipValue()
        return Object(bytes: bytes[start..<place], line: startLine)
    }

    /// Goes into the array `programs` of the object that begins here; stays at the object where it has none.
    private mutating func enterPrograms() throws(ProgramsFile.Fault) -> Bool {
        let start = (place, line)
        place += 1
        while true {
            skipSpace()
            guard byte == UInt8(ascii: "\"") else { break }
            let key = place
            try skipValue()
            let isPrograms = bytes[key..<place].elementsEqual("\"programs\"".utf8)
            skipSpace()
            guard byte == UInt8(ascii: ":") else { break }
            place += 1
            skipSpace()
            if isPrograms {
                guard byte == UInt8(ascii: "[") else { throw fault("programs must be an array") }
                place += 1
                return true
            }
            try skipValue()
            skipSpace()
            guard byte == UInt8(ascii: ",") else { break }
            place += 1
        }
        (place, line) = start
        return false
    }

    /// Goes behind the value that begins here. What is inside is judged by whoever parses it; it only has to close.
    private mutating func skipValue() throws(ProgramsFile.Fault) {
        switch byte {
        case UInt8(ascii: "\""): try skipString()
        case UInt8(ascii: "{"), UInt8(ascii: "["): try skipContainer()
        default: while let byte, !",:[]{}\" \t\r\n".utf8.contains(byte) { step() }
        }
    }

    private mutating func skipContainer() throws(ProgramsFile.Fault) {
        let begin = line
        var depth = 0
        repeat {
            switch byte {
            case nil: throw .init(line: begin, reason: "what begins here does not end")
            case UInt8(ascii: "\""):
                try skipString()
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            default: break
            }
            step()
        } while depth > 0
    }

    private mutating func skipString() throws(ProgramsFile.Fault) {
        let begin = line
        place += 1
        while let byte {
            switch byte {
            case UInt8(ascii: "\\"): place = min(place + 2, bytes.count)
            case UInt8(ascii: "\""):
                place += 1
                return
            default: step()
            }
        }
        throw .init(line: begin, reason: "the string that begins here does not end")
    }

    private mutating func skipSpace() {
        while let byte, byte == 0x20 || (0x09...0x0D).contains(byte) && byte != 0x0B && byte != 0x0C { step() }
    }

    private mutating func step() {
        if bytes[place] == UInt8(ascii: "\n") { line += 1 }
        place += 1
    }
}
