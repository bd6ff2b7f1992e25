import RedisClient
import TrackingModel

extension ProgramReading {
    /// Reads the reply to `HGETALL`. Redis has no empty hashes: an empty reply means that there is none.
    init(_ reply: Result<RESPValue, RedisError>, of id: ProgramID) {
        guard case .success(let value) = reply else {
            self = .unreachable
            return
        }
        if let error = value.errorText {
            // A key of another type is core data's fault; LOADING, MASTERDOWN and their like are Redis' own state.
            self = error.hasPrefix("WRONGTYPE") ? .malformed(Self.fault("is no hash")) : .unreachable
            return
        }
        do throws(MalformedProgram) {
            var program = Program(id: id)
            var isEmpty = true
            let isHash = try value.forEachPair { (field, value) throws(MalformedProgram) in
                isEmpty = false
                try program.take(field: field, value)
            }
            guard isHash else { throw Self.fault("is no list of fields and values") }
            self = isEmpty ? .absent : .program(program)
        } catch {
            self = .malformed(error)
        }
    }

    private static func fault(_ reason: String) -> MalformedProgram { MalformedProgram(field: "", reason: reason) }
}
