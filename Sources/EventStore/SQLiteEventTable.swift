import GRDB
public import StreamSource

/// The table `events` of a SQLite database in WAL mode, and how far sources are read: stored in one transaction.
///
/// `synchronous` is FULL: what a stream is told to be stored survives a power cut.
public struct SQLiteEventTable: EventTable, LeaseStore {
    private static let schema = """
        CREATE TABLE IF NOT EXISTS events (
            message_id TEXT NOT NULL PRIMARY KEY,
            program_id TEXT NOT NULL,
            checksum TEXT NOT NULL,
            customer_id INTEGER NOT NULL,
            user_agent TEXT NOT NULL,
            program_name TEXT NOT NULL,
            customer_name TEXT NOT NULL,
            is_valid INTEGER NOT NULL,
            event_type TEXT NOT NULL,
            time INTEGER NOT NULL,
            parameters TEXT NOT NULL,
            referrer TEXT NOT NULL,
            client_address TEXT NOT NULL,
            program_version INTEGER NOT NULL
        );
        CREATE TABLE IF NOT EXISTS checkpoints (
            source TEXT NOT NULL,
            part TEXT NOT NULL,
            position TEXT NOT NULL,
            PRIMARY KEY (source, part)
        ) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS leases (
            source TEXT NOT NULL,
            part TEXT NOT NULL,
            owner TEXT NOT NULL,
            counter INTEGER NOT NULL,
            PRIMARY KEY (source, part)
        ) WITHOUT ROWID;
        """

    private static let insertion = """
        INSERT INTO events (message_id, program_id, checksum, customer_id, user_agent, program_name, customer_name,
            is_valid, event_type, time, parameters, referrer, client_address, program_version)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (message_id) DO NOTHING
        """

    private let path: String
    private let queue: DatabaseQueue

    /// Makes the database, and the table where there is none.
    public init(path: String) throws(StreamFailure) {
        var configuration = Configuration()
        configuration.journalMode = .wal
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { try $0.execute(sql: "PRAGMA synchronous = FULL") }
        self.path = path
        do {
            self.queue = try DatabaseQueue(path: path, configuration: configuration)
            try self.queue.write { try $0.execute(sql: Self.schema) }
        } catch {
            throw Self.failure(path, error)
        }
    }

    /// Brings what stands in the write-ahead log into the database itself.
    public func close() throws(StreamFailure) {
        do { try self.queue.close() } catch { throw Self.failure(self.path, error) }
    }

    public func positions(of source: String) async throws -> [String: String] {
        do {
            return try await self.queue.read { database in
                let rows = try Row.fetchAll(
                    database,
                    sql: "SELECT part, position FROM checkpoints WHERE source = ?",
                    arguments: [source]
                )
                return Dictionary(rows.map { ($0[0] as String, $0[1] as String) }) { first, _ in first }
            }
        } catch {
            throw Self.failure(self.path, error)
        }
    }

    public func store(_ items: [EventRow], checkpoints: [Checkpoint]) async throws(StreamFailure) -> StoreResult {
        do {
            return try await self.queue.write { database in
                let stored = try Self.insert(items, into: database)
                for checkpoint in checkpoints { try Self.keep(checkpoint, in: database) }
                return .stored(stored, duplicates: items.count - stored)
            }
        } catch let refusal as Refusal {
            return .refused(refusal.damages)
        } catch {
            throw Self.failure(self.path, error)
        }
    }

    public func leases(of source: String) async throws(StreamFailure) -> [Lease] {
        do {
            return try await self.queue.read { database in
                let sql = "SELECT part, owner, counter FROM leases WHERE source = ?"
                return try Row.fetchAll(database, sql: sql, arguments: [source]).map { row in
                    Lease(part: row[0], owner: row[1], counter: row[2])
                }
            }
        } catch {
            throw Self.failure(self.path, error)
        }
    }

    public func replace(_ old: Lease, by new: Lease, of source: String) async throws(StreamFailure) -> Bool {
        do {
            return try await self.queue.write { database in
                try database.execute(
                    sql: old.counter == 0
                        ? "INSERT INTO leases (owner, counter, source, part) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
                        : "UPDATE leases SET owner = ?, counter = ? WHERE source = ? AND part = ? AND counter = ?",
                    arguments: [new.owner, new.counter, source, old.part] + (old.counter == 0 ? [] : [old.counter])
                )
                return database.changesCount == 1
            }
        } catch {
            throw Self.failure(self.path, error)
        }
    }

    /// - Returns: how many were not there.
    private static func insert(_ items: [EventRow], into database: Database) throws -> Int {
        var statement = try database.cachedStatement(sql: Self.insertion)
        var stored = 0
        var refusal = Refusal()
        for (place, row) in items.enumerated() {
            do {
                try statement.execute(arguments: row.values)
                stored += database.changesCount
            } catch let error as DatabaseError where error.isOfOneRow {
                refusal.damages[place] = Damage(.notStorable, "SQLite refuses the row: \(error.resultCode).")
                // One that has failed reports it once more when it is reset, as if the next row were to blame.
                statement = try database.makeStatement(sql: Self.insertion)
            }
        }
        // Thrown, so that the transaction is rolled back: first the refused ones have to be kept elsewhere.
        if !refusal.damages.isEmpty { throw refusal }
        return stored
    }

    private static func keep(_ checkpoint: Checkpoint, in database: Database) throws {
        guard let position = checkpoint.position else {
            return try database.execute(
                sql: "DELETE FROM checkpoints WHERE source = ? AND part = ?",
                arguments: [checkpoint.source, checkpoint.part]
            )
        }
        try database.execute(
            sql: "INSERT OR REPLACE INTO checkpoints (source, part, position) VALUES (?, ?, ?)",
            arguments: [checkpoint.source, checkpoint.part, position]
        )
    }

    private struct Refusal: Error {
        var damages: [Int: Damage] = [:]
    }

    static func failure(_ path: String, _ error: any Error) -> StreamFailure {
        let cause = (error as? DatabaseError).map { $0.message ?? "\($0.resultCode)" } ?? "\(error)"
        return StreamFailure("sqlite:\(path): \(cause)")
    }
}

extension DatabaseError {
    /// Says something of the row alone: the next one may go through, this one never will.
    fileprivate var isOfOneRow: Bool {
        [.SQLITE_CONSTRAINT, .SQLITE_TOOBIG, .SQLITE_MISMATCH].contains(self.resultCode)
    }
}

extension EventRow {
    /// In the order of the columns.
    fileprivate var values: StatementArguments {
        [
            self.messageID, self.programID, self.checksum, self.customerID, self.userAgent, self.programName,
            self.customerName, self.isValid, self.eventType, self.time, self.parametersJSON, self.referrer,
            self.clientAddress, self.programVersion,
        ]
    }
}
