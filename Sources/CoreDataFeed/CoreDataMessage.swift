import FoundationEssentials
import NIOCore
import TrackingModel

/// What is written on the channel and in the change stream: a program as JSON, or that one was deleted.
enum CoreDataMessage: Equatable {
    case program(Program)
    case deleted(ProgramID, version: Int64?)

    /// - Returns: nil where the bytes are no such message, or more than a program may have.
    init?(_ bytes: ByteBuffer) {
        guard (1...ProgramStore.maximumProgramBytes).contains(bytes.readableBytes) else { return nil }
        let json = bytes.withUnsafeReadableBytes { Data($0) }
        guard let message = try? Self(json: json) else { return nil }
        self = message
    }

    /// - Throws: `MalformedProgram` where a field breaks a rule, else what the decoder says.
    init(json: Data) throws {
        self = try JSONDecoder().decode(Envelope.self, from: json).message
    }

    func change(origin: CoreDataChange.Origin) -> CoreDataChange {
        switch self {
        case .program(let program): .program(program, origin: origin)
        case .deleted(let id, let version): .deleted(id, version: version, origin: origin)
        }
    }
}

/// Decides by `deleted` what the object is, so that it is parsed once.
private struct Envelope: Decodable {
    private enum Field: String, CodingKey {
        case programId
        case version
        case deleted
    }

    let message: CoreDataMessage

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Field.self)
        guard try fields.decodeIfPresent(Bool.self, forKey: .deleted) == true else {
            message = .program(try Program(from: decoder))
            return
        }
        guard let id = ProgramID(try fields.decode(String.self, forKey: .programId)) else {
            throw DecodingError.dataCorruptedError(forKey: .programId, in: fields, debugDescription: "is no id")
        }
        let version = try fields.decodeIfPresent(Int64.self, forKey: .version)
        guard version ?? 0 >= 0 else {
            throw DecodingError.dataCorruptedError(forKey: .version, in: fields, debugDescription: "is negative")
        }
        message = .deleted(id, version: version)
    }
}
