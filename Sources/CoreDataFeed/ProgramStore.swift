import NIOCore
public import RedisClient
public import TrackingModel

/// Reads and writes the programs in Redis; each write is one atomic, versioned and published step.
public struct ProgramStore: Sendable {
    /// What became of a write.
    public enum Outcome: Sendable, Hashable {
        case applied(version: Int64)
        /// Redis holds this version, or deleted it, and it is not older.
        case notNewer(held: Int64)
        /// There is no program to delete.
        case unknown
    }

    /// What became of an import.
    public struct Imported: Sendable, Hashable {
        public var applied = 0
        public var notNewer = 0
        public var total: Int { applied + notNewer }
    }

    /// Larger programs are neither written nor taken from a message, in bytes of JSON.
    public static let maximumProgramBytes = 64 * 1024
    /// The bounds of one pipelined write of an import.
    private static let batchCommands = 512
    private static let batchBytes = 1024 * 1024

    private let client: RedisClient
    public let keys: CoreDataKeys

    public init(_ client: RedisClient, keys: CoreDataKeys = CoreDataKeys()) {
        self.client = client
        self.keys = keys
    }

    /// Writes a program with its version, or without one with the next above every version it ever had.
    public func put(_ program: Program) async throws(StoreError) -> Outcome {
        try outcome(of: await reply(to: putting(program)))
    }

    /// Deletes a program; its version is remembered for 7 days.
    public func delete(_ id: ProgramID, version: Int64? = nil) async throws(StoreError) -> Outcome {
        try outcome(of: await reply(to: deleting(id, version: version)))
    }

    private func deleting(_ id: ProgramID, version: Int64?) -> RedisCommand {
        var command = RedisCommand("EVAL", argumentCount: 8, capacity: 2048)
        command.append(StoreScripts.delete)
        appendKeys(of: id, to: &command)
        command.append(keys.channel)
        command.append(version.map { String($0) } ?? "")
        command.append("{\"programId\":\"\(id)\"}")
        return command
    }

    /// The program, or nil where Redis has none.
    public func get(_ id: ProgramID) async throws(StoreError) -> Program? {
        let reply = try await reply(to: .hashGetAll(prefix: keys.prefix, id: id.text))
        guard reply.elements?.isEmpty == false else { return nil }
        var fields: [(name: String, value: String)] = []
        let arePairs = reply.forEachPair { name, value in
            fields.append((String(copying: name), String(copying: value)))
        }
        guard arePairs else { throw StoreError("Redis' answer to HGETALL is no list of pairs.") }
        do {
            return try Program(id: id, hash: fields)
        } catch {
            throw StoreError("The program \(id) in Redis cannot be read: \(error).")
        }
    }

    /// The ids of all programs, sorted.
    public func list() async throws(StoreError) -> [ProgramID] {
        // A scan may tell a key more than once.
        var ids = Set<ProgramID>()
        var cursor = "0"
        repeat {
            let command = RedisCommand("SCAN", cursor, "MATCH", keys.scanPattern, "COUNT", "1000", "TYPE", "hash")
            guard let parts = try await reply(to: command).elements, parts.count == 2, let next = parts[0].text,
                let found = parts[1].elements
            else { throw StoreError("Redis' answer to SCAN cannot be read.") }
            for key in found {
                if let id = key.text.flatMap({ keys.id(ofKey: $0) }) { ids.insert(id) }
            }
            cursor = next
        } while cursor != "0"
        return ids.sorted { $0.text < $1.text }
    }

    /// Writes many programs, pipelined; each one is a step of its own.
    ///
    /// - Parameter progress: told how many are done, after each pipelined write.
    public func importAll(
        _ programs: [Program],
        progress: (Int) -> Void = { _ in }
    ) async throws(StoreError) -> Imported {
        var imported = Imported()
        var batch: [RedisCommand] = []
        var batchBytes = 0
        for program in programs {
            let command = try putting(program)
            batch.append(command)
            batchBytes += command.byteCount
            if batch.count == Self.batchCommands || batchBytes >= Self.batchBytes {
                try await write(batch, into: &imported)
                progress(imported.total)
                batch.removeAll(keepingCapacity: true)
                batchBytes = 0
            }
        }
        try await write(batch, into: &imported)
        progress(imported.total)
        return imported
    }

    /// Carries out changes in their order, pipelined; each one is a step of its own, and each has an outcome of its own.
    func apply(_ changes: [ProgramUpdate]) async -> [Result<Outcome, StoreError>] {
        var results: [Result<Outcome, StoreError>] = []
        var batch: [Result<RedisCommand, StoreError>] = []
        var batchBytes = 0
        for change in changes {
            let command = Result { () throws(StoreError) in try self.command(change) }
            batch.append(command)
            batchBytes += (try? command.get().byteCount) ?? 0
            if batch.count == Self.batchCommands || batchBytes >= Self.batchBytes {
                results += await send(batch)
                batch.removeAll(keepingCapacity: true)
                batchBytes = 0
            }
        }
        return results + (await send(batch))
    }

    private func command(_ change: ProgramUpdate) throws(StoreError) -> RedisCommand {
        switch change {
        case .put(let program): try putting(program)
        case .delete(let id, let version): deleting(id, version: version)
        }
    }

    private func send(_ batch: [Result<RedisCommand, StoreError>]) async -> [Result<Outcome, StoreError>] {
        var replies = await client.send(all: batch.compactMap { try? $0.get() }).makeIterator()
        return batch.map { command in
            if case .failure(let error) = command { return .failure(error) }
            let answer = replies.next() ?? .failure(RedisError(.disconnected, "Redis did not answer."))
            return Result { () throws(StoreError) in try outcome(of: try reply(answer)) }
        }
    }

    private func write(_ batch: [RedisCommand], into imported: inout Imported) async throws(StoreError) {
        for result in await client.send(all: batch) {
            do {
                switch try outcome(of: try reply(result)) {
                case .applied: imported.applied += 1
                case .notNewer, .unknown: imported.notNewer += 1
                }
            } catch {
                throw StoreError(
                    "\(error.description) At least \(imported.total) programs were done before; import them all again."
                )
            }
        }
    }

    private func putting(_ program: Program) throws(StoreError) -> RedisCommand {
        var unversioned = program
        unversioned.version = nil
        let json = unversioned.json
        guard json.count <= Self.maximumProgramBytes - 64 else {
            throw StoreError(
                "The program \(program.id) is larger than \(Self.maximumProgramBytes) bytes.",
                isOfOneProgram: true
            )
        }
        let fields = unversioned.hash
        var command = RedisCommand("EVAL", argumentCount: 8 + fields.count * 2, capacity: 2048 + json.count * 2)
        command.append(StoreScripts.put)
        appendKeys(of: program.id, to: &command)
        command.append(keys.channel)
        command.append(program.version.map { String($0) } ?? "")
        command.append(json)
        for (name, value) in fields {
            command.append(name)
            command.append(value)
        }
        return command
    }

    private func appendKeys(of id: ProgramID, to command: inout RedisCommand) {
        command.append("3")
        command.append(keys.program(id))
        command.append(keys.tombstone(id))
        command.append(keys.changes)
    }

    private func reply(to command: RedisCommand) async throws(StoreError) -> RESPValue {
        let result = await client.send(all: [command])
        return try reply(result.first ?? .failure(RedisError(.disconnected, "Redis did not answer.")))
    }

    private func reply(_ result: Result<RESPValue, RedisError>) throws(StoreError) -> RESPValue {
        switch result {
        case .success(.error(let text)):
            // A key of another type, a version that cannot grow: another program may go through, this one never will.
            let isOfOneProgram = text.hasPrefix("WRONGTYPE") || text.contains("the version cannot grow")
            throw StoreError("Redis refuses: \(text)", isOfOneProgram: isOfOneProgram)
        case .success(let value): return value
        case .failure(let error): throw StoreError(error.description)
        }
    }

    private func outcome(of reply: RESPValue) throws(StoreError) -> Outcome {
        guard let parts = reply.elements, parts.count == 2, let version = parts[1].text.flatMap({ Int64($0) }) else {
            throw StoreError("Redis' answer to a script cannot be read.")
        }
        switch parts[0].text {
        case "applied": return .applied(version: version)
        case "kept": return .notNewer(held: version)
        default: return .unknown
        }
    }
}

/// Why the store could not do what it was asked, in one sentence.
public struct StoreError: Error, Sendable, Hashable, CustomStringConvertible {
    public let description: String
    /// Whether it lies in the program and not in Redis: trying again is of no use.
    let isOfOneProgram: Bool

    init(_ description: String, isOfOneProgram: Bool = false) {
        self.description = description
        self.isOfOneProgram = isOfOneProgram
    }
}
