import NIOCore
public import RedisClient
import TrackingModel

extension ProgramSource {
    /// Programs as Redis hashes: one `HGETALL` for each read, pipelined with its neighbours on the loop's connection.
    ///
    /// - Parameters:
    ///   - client: lives on the same loop as the cache that reads.
    ///   - keyPrefix: stands before the id in a key.
    public static func redis(_ client: RedisClient, keyPrefix: String) -> ProgramSource {
        ProgramSource(
            isReachable: { client.isReadyOnLoop },
            read: { id, completion in
                let command = RedisCommand.hashGetAll(prefix: keyPrefix, id: id.text)
                client.sendOnLoop(command) { completion(ProgramReading($0, of: id)) }
            }
        )
    }
}

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
