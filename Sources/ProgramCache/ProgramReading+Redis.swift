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
        var hash: [(name: String, value: String)] = []
        let isHash = value.forEachPair { field, value in
            hash.append((String(decoding: field, as: UTF8.self), String(decoding: value, as: UTF8.self)))
        }
        guard isHash else {
            self = .malformed(Self.fault("is no list of fields and values"))
            return
        }
        guard !hash.isEmpty else {
            self = .absent
            return
        }
        do {
            self = .program(try Program(id: id, hash: hash))
        } catch {
            self = .malformed(error)
        }
    }

    private static func fault(_ reason: String) -> MalformedProgram { MalformedProgram(field: "", reason: reason) }
}
