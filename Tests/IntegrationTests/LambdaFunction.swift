import Foundation
import TestSupport

/// The binary as a Lambda function, and the stand-in of the Runtime API that gives it events.
struct LambdaFunction {
    let api: StandIn
    let process: ServiceProcess

    /// - Parameters:
    ///   - handler: `consume` or `update`.
    ///   - timeout: of an invocation, in seconds.
    static func with(
        _ handler: String,
        _ environment: [String: String],
        timeout: Double = 5,
        isolation: isolated (any Actor)? = #isolation,
        _ body: (LambdaFunction) async throws -> Void
    ) async throws {
        try await StandIn.with("runtime_api", ["--timeout", "\(timeout)"]) { api async throws in
            let process = try start(handler, environment, api)
            do { try await body(LambdaFunction(api: api, process: process)) } catch {
                await process.end()
                throw error
            }
            await process.end()
        }
    }

    static func start(_ handler: String, _ environment: [String: String], _ api: StandIn) throws -> ServiceProcess {
        let own = ["AWS_LAMBDA_RUNTIME_API": "127.0.0.1:\(api.port)", "_HANDLER": handler]
        return try ServiceProcess(Binary.path(), [], environment: own.merging(environment) { $1 })
    }

    struct Answer: Decodable {
        var kind: String
        var body: String?
        var type: String?
        /// Seconds to the deadline when the answer came.
        var left: Double
    }

    func invoke(_ event: String) throws -> Answer {
        try JSONDecoder().decode(Answer.self, from: Data(api.ask("/_invoke", method: "POST", event).utf8))
    }

    /// With records of sequence numbers as long as AWS' are, which end in their place from 1.
    func invoke(_ records: [[UInt8]]) throws -> Answer {
        let texts = records.enumerated().map { place, bytes in
            """
            {"eventID": "\(Cloud.shard(0)):\(Self.number(place + 1))", "eventSourceARN": "arn:aws:kinesis:::stream/events",
             "kinesis": {"sequenceNumber": "\(Self.number(place + 1))", "partitionKey": "k",
                         "data": "\(Data(bytes).base64EncodedString())", "approximateArrivalTimestamp": 1795273520.997}}
            """
        }
        return try invoke(#"{"Records": [\#(texts.joined(separator: ","))]}"#)
    }

    static func number(_ place: Int) -> String {
        let digits = "\(place)"
        return String(repeating: "4", count: 56 - digits.count) + digits
    }

    /// What is answered when records from there on are not done with; nil: all are.
    static func failures(at place: Int?) -> String {
        let items = place.map { #"{"itemIdentifier":"\#(number($0))"}"# } ?? ""
        return #"{"batchItemFailures":[\#(items)]}"#
    }

    struct Books: Decodable, Equatable {
        var invocations: Int
        var records: Int
        var failures: [[String]]
    }

    /// Gives it a whole stream, as an event source mapping does.
    static func pump(_ api: StandIn, _ cloud: Cloud, _ stream: String, batch: Int = 100) async throws -> Books {
        let wanted = """
            {"endpoint": "\(cloud.standIn.url)", "key": "\(cloud.standIn.words[0])", "secret": "\(cloud.standIn.words[1])",
             "stream": "\(stream)", "batch": \(batch)}
            """
        try api.ask("/_pump", method: "POST", wanted)
        var books = "{}"
        let isThrough = try await eventually(within: .seconds(180)) {
            books = try api.ask("/_books")
            return books != "{}"
        }
        guard isThrough else { throw TestFailure("the pump is not through after three minutes") }
        return try JSONDecoder().decode(Books.self, from: Data(books.utf8))
    }

    static func initialisationErrors(_ api: StandIn) throws -> [[String: JSON]] {
        struct State: Decodable { var initErrors: [[String: JSON]] }
        return try JSONDecoder().decode(State.self, from: Data(api.ask("/_state").utf8)).initErrors
    }
}
