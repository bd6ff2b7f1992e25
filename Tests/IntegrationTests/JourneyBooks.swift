import Foundation
import TestSupport
import Testing

/// A request that no other is like.
struct JourneyRequest {
    /// Its `orderId`.
    let order: String
    /// The number of its program.
    let program: Int

    /// Each of the three types in turn.
    var type: String { ["click", "impression", "conversion"][program % 3] }
    var agent: String { "agent of \(order)" }
    var referrer: String { "https://example.org/\(order)" }
    var target: String { "/event/p\(program)?type=\(type)&orderId=\(order)&currency=EUR" }
    var headers: [String] { ["User-Agent: \(agent)", "Referer: \(referrer)"] }
}

/// What was asked, what was answered, and how a row follows from both.
struct JourneyBooks {
    private(set) var answers: [String: (request: JourneyRequest, json: [String: JSON])] = [:]
    /// By order: the service was killed before it answered, or could not promise that it is recorded; nobody knows.
    private(set) var unanswered: [String: JourneyRequest] = [:]

    /// - Returns: the answer's status.
    mutating func ask(_ service: Service, _ request: JourneyRequest) throws -> Int {
        try note(request, service.get(request.target, headers: request.headers))
    }

    private mutating func note(_ request: JourneyRequest, _ response: RawResponse) throws -> Int {
        guard response.status == 200 else {
            if response.status == 503 { unanswered[request.order] = request }
            return response.status
        }
        let json = try response.json
        let id = try #require(json["messageId"]?.text)
        try #require(answers.updateValue((request, json), forKey: id) == nil, "an id was given twice")
        return response.status
    }

    /// Requests on connections of their own, and SIGKILL behind them.
    mutating func leave(_ service: Service, _ round: Int, _ count: Int) throws {
        let requests = (0..<count).map { JourneyRequest(order: "killed-\(round)-\($0)", program: $0) }
        let connections = try requests.map { _ in try RawConnection(port: service.port) }
        for (request, connection) in zip(requests, connections) {
            connection.send(RawConnection.request(request.target, headers: request.headers))
        }
        service.process.signal(SIGKILL)
        for (request, connection) in zip(requests, connections) {
            if let response = try? connection.response() {
                _ = try note(request, response)
            } else {
                unanswered[request.order] = request
            }
        }
    }

    /// One row of each answer with its values, at most one of each request without an answer, and no other.
    func compare(_ rows: [JourneyRow], between begin: Int64, and end: Int64) throws {
        let accepted = rows.filter { answers[$0.messageID] != nil }
        #expect(accepted.map(\.messageID).sorted() == answers.keys.sorted())
        for row in accepted {
            let (request, json) = try #require(answers[row.messageID])
            #expect((begin...end).contains(row.time))
            let expected = try JourneyRow(request, json, time: row.time)
            #expect(row == expected)
        }
        let others = rows.filter { answers[$0.messageID] == nil }.compactMap { $0.parameters["orderId"] }
        #expect(others.count == rows.count - accepted.count && Set(others).count == others.count)
        #expect(Set(others).isSubset(of: unanswered.keys))
    }
}

/// A row of either table.
struct JourneyRow: Equatable {
    var messageID: String
    var programID: String
    var programName: String
    var checksum: String
    var customerID: Double
    var customerName: String
    var userAgent: String
    var isValid: Bool
    var eventType: String
    var time: Int64
    var parameters: [String: String]
    var referrer: String
    var clientAddress: String
    var programVersion: Int

    /// What an answer says of its event, and its request of the rest.
    init(_ request: JourneyRequest, _ answer: [String: JSON], time: Int64) throws {
        func text(_ name: String) throws -> String { try #require(answer[name]?.text) }
        self.messageID = try text("messageId")
        self.programID = try text("programId")
        self.programName = try text("programName")
        self.checksum = try text("checksum")
        self.customerID = try #require(answer["customerId"]?.number)
        self.customerName = try text("customerName")
        self.userAgent = try text("userAgent")
        self.isValid = answer["valid"] == .flag(true)
        self.eventType = request.type
        self.time = time
        self.parameters = ["orderId": request.order, "currency": "EUR"]
        self.referrer = request.referrer
        self.clientAddress = "127.0.0.0"
        self.programVersion = request.program + 1
    }

    /// Of `events` in SQLite, where parameters are JSON and truth is a number.
    init(row: [String: String]) throws {
        let parameters = Data(try #require(row["parameters"]).utf8)
        try self.init(
            row,
            JSONDecoder().decode([String: String].self, from: parameters),
            truth: "1"
        )
    }

    /// Of DynamoDB, where both are what they are; it has the id twice, and when it was put.
    init(item: [String: String]) throws {
        let pairs = try #require(item["parameters"]).split(separator: ",").map { pair in
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (String(parts[0]), String(parts[1]))
        }
        try self.init(item, Dictionary(uniqueKeysWithValues: pairs), truth: "true")
        #expect(item["id"] == messageID)
        #expect(try #require(item["updated_at"].flatMap { Int64($0) }) >= time)
    }

    private init(_ columns: [String: String], _ parameters: [String: String], truth: String) throws {
        func text(_ name: String) throws -> String { try #require(columns[name]) }
        self.messageID = try text("message_id")
        self.programID = try text("program_id")
        self.programName = try text("program_name")
        self.checksum = try text("checksum")
        self.customerID = try #require(Double(text("customer_id")))
        self.customerName = try text("customer_name")
        self.userAgent = try text("user_agent")
        self.isValid = try text("is_valid") == truth
        self.eventType = try text("event_type")
        self.time = try #require(Int64(text("time")))
        self.parameters = parameters
        self.referrer = try text("referrer")
        self.clientAddress = try text("client_address")
        self.programVersion = try #require(Int(text("program_version")))
    }
}
