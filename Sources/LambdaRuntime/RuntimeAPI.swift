public import AWSTransport
import TrackingModel

/// The four calls of a custom runtime (AWS Lambda Developer Guide, "Using the Lambda runtime API", 2018-06-01).
public struct RuntimeAPI: Sendable {
    /// Why a call came to nothing.
    public struct Failure: Error, Sendable, CustomStringConvertible {
        public let description: String
    }

    /// Attempts of a call before the runtime gives up; Lambda starts another one then.
    private static let maximumAttempts = 5

    private let base: String
    private let transport: Transport

    /// - Parameter address: `host:port`, as `AWS_LAMBDA_RUNTIME_API` says.
    /// - Throws: where the system gives no thread.
    public init(address: String) throws(TransportFailure) {
        var configuration = TransportConfiguration()
        // Lambda holds back its answer to `next` until there is an event; the process may be frozen meanwhile.
        configuration.lowSpeedSeconds = 0
        configuration.totalTimeout = 0
        self.base = "http://\(address)/2018-06-01/runtime"
        self.transport = try Transport(configuration)
    }

    /// The next event, however long it takes. Cancelling the task ends the wait.
    public func next() async throws(Failure) -> Invocation {
        var request = AWSRequest(.get, self.base + "/invocation/next")
        request.wantedHeaders = [
            "lambda-runtime-aws-request-id", "lambda-runtime-deadline-ms", "lambda-runtime-trace-id",
        ]
        let response = try await self.perform(request)
        guard response.status == 200, let id = response.headers["lambda-runtime-aws-request-id"], !id.isEmpty,
            let deadline = response.headers["lambda-runtime-deadline-ms"].flatMap({ Int64($0) })
        else { throw Failure(description: "the Runtime API's answer with status \(response.status) is no invocation") }
        let trace = response.headers["lambda-runtime-trace-id"] ?? ""
        return Invocation(requestID: id, deadline: deadline, traceID: trace, event: response.body)
    }

    /// - Parameter json: the function's answer.
    public func answer(_ invocation: Invocation, _ json: [UInt8]) async throws(Failure) {
        try await self.post("/invocation/\(invocation.requestID)/response", json)
    }

    public func fail(_ invocation: Invocation, _ error: FunctionError) async throws(Failure) {
        try await self.post("/invocation/\(invocation.requestID)/error", error.json, type: error.type)
    }

    /// The function can't be run at all; the process ends after it.
    public func failInitialisation(_ error: FunctionError) async throws(Failure) {
        try await self.post("/init/error", error.json, type: error.type)
    }

    public func shutdown() async { await self.transport.shutdown() }

    private func post(_ path: String, _ json: [UInt8], type: String? = nil) async throws(Failure) {
        var request = AWSRequest(.post, self.base + path)
        request.headers = [.init("Content-Type", "application/json")]
        if let type { request.headers.append(.init("Lambda-Runtime-Function-Error-Type", type)) }
        request.body = RequestBody(json)
        request.totalTimeout = 5_000
        let response = try await self.perform(request)
        guard response.status < 300 else {
            throw Failure(description: "the Runtime API answers \(path) with status \(response.status)")
        }
    }

    /// Sends it again where there was no answer: a second `next` gives the same event, a second answer is refused.
    private func perform(_ call: AWSRequest) async throws(Failure) -> AWSResponse {
        var request = call
        request.bypassesProxy = true
        var failure = ""
        for attempt in 0..<Self.maximumAttempts {
            if attempt > 0 {
                do { try await Task.sleep(for: .milliseconds(50 << attempt)) } catch { break }
            }
            switch await self.transport.perform(request) {
            case .answered(let response): return response
            case .failed(let cause):
                failure = cause.description
                if cause.code == .cancelled || cause.code == .stopped { throw Failure(description: failure) }
            }
        }
        throw Failure(description: "the Runtime API does not answer: \(failure)")
    }
}

extension FunctionError {
    fileprivate var json: [UInt8] {
        var json = JSONText()
        json.beginObject()
        json.field("errorType", self.type)
        json.field("errorMessage", self.description)
        json.field("stackTrace", [])
        json.endObject()
        return json.bytes
    }
}
