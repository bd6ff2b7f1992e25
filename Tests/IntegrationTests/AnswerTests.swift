import Foundation
import TestSupport
import Testing

extension Integration {
    /// The tables of answers and refusals, on a file of programs.
    @Suite("Public HTTP")
    struct AnswerTests {
        /// Programs of every kind that a refusal needs.
        static let programs = """
            [
              {"programId": "plain", "programName": "Plain \\"quoted\\" \\u00fc", "checksum": "c0ffee", "customerId": "4711",
               "customerName": "Someone & Co", "valid": true, "version": 3},
              {"programId": "off", "checksum": "x", "customerId": 1, "valid": false, "validUntil": "2020-01-01T00:00:00Z"},
              {"programId": "early", "valid": "true", "validFrom": "2999-01-01T00:00:00Z"},
              {"programId": "late", "valid": 1, "validUntil": "2020-01-01T00:00:00Z"},
              {"programId": "checked", "valid": true, "checksum": "s3cret", "requireChecksum": true},
              {"programId": "rules", "valid": true, "checksum": "r", "parameters":
                {"types": ["click", "conversion"], "allowed": ["campaign", "orderId", "amount", "currency"],
                 "required": ["campaign"], "together": [["orderId", "amount", "currency"]],
                 "values": {"currency": ["EUR", "USD"]}}},
              {"programId": "all-wrong", "valid": false, "validFrom": "2999-01-01T00:00:00Z", "checksum": "z",
               "requireChecksum": true, "parameters": {"types": ["click"], "required": ["campaign"]}},
              {"programId": "late-checked", "valid": true, "validUntil": "2020-01-01T00:00:00Z", "requireChecksum": true},
              {"programId": "checked-rules", "valid": true, "checksum": "k", "requireChecksum": true,
               "parameters": {"required": ["campaign"]}},
              {"programId": "missing-unknown", "valid": true, "parameters":
                {"types": ["click"], "allowed": ["a", "b", "c"], "required": ["a"], "together": [["b", "c"]],
                 "values": {"b": ["1"]}}}
            ]
            """

        static func withPrograms(
            isolation: isolated (any Actor)? = #isolation,
            _ body: (Service) async throws -> Void
        ) async throws {
            try await TestDirectory.with { directory async throws in
                let file = try directory.write(programs, to: "programs.json")
                try await Service.with(Service.Setup(["--programs", file]), body)
            }
        }

        @Test("an accepted event is answered with exactly the eight keys")
        func accepted() async throws {
            try await Self.withPrograms { service async throws in
                let agent = #"A "quoted\agent" ü"#
                let answer = try service.get("/event/plain?type=click&campaign=x", headers: ["User-Agent: \(agent)"])
                #expect(answer.status == 200)
                #expect(answer["Content-Type"]?.hasPrefix("application/json") == true)
                #expect(answer["Cache-Control"] == "no-store")
                let json = try answer.json
                #expect(
                    Set(json.keys)
                        == [
                            "userAgent", "programId", "programName", "checksum", "customerId", "customerName",
                            "messageId",
                            "valid",
                        ]
                )
                #expect(json["userAgent"] == .string(agent))
                #expect(json["programId"] == .string("plain"))
                #expect(json["programName"] == .string("Plain \"quoted\" ü"))
                #expect(json["checksum"] == .string("c0ffee"))
                #expect(json["customerId"] == .number(4711))
                #expect(json["customerName"] == .string("Someone & Co"))
                #expect(json["valid"] == .flag(true))
                let id = try #require(json["messageId"]?.text)
                let uuid = try #require(UUID(uuidString: id)?.uuid)
                #expect(id == id.lowercased())
                #expect(uuid.6 >> 4 == 7)
                #expect(uuid.8 >> 6 == 2)
            }
        }

        @Test("a missing User-Agent is an empty string")
        func noUserAgent() async throws {
            try await Self.withPrograms { service async throws in
                #expect(try service.get("/event/plain").json["userAgent"] == .string(""))
            }
        }

        @Test("the three programs of the built-in sample are served")
        func sample() async throws {
            try await Service.with { service async throws in
                for id in ["212312", "212313", "212314"] {
                    #expect(try service.get("/event/\(id)").status == 200)
                    #expect(try service.get("/event/\(id)?type=conversion&anything=goes").status == 200)
                }
                #expect(try service.get("/event/212315").code == "program_not_found")
            }
        }

        /// Target, status, code. Where several reasons apply the first of the contract's order is expected.
        static let refusals: [(String, Int, String)] = [
            ("/event/nobody", 404, "program_not_found"),
            ("/event/off", 410, "program_inactive"),
            ("/event/early", 410, "program_not_started"),
            ("/event/late", 410, "program_expired"),
            ("/event/checked", 403, "checksum_missing"),
            ("/event/checked?checksum=wrong", 403, "checksum_mismatch"),
            ("/event/checked?checksum=", 403, "checksum_mismatch"),
            ("/event/plain?checksum=wrong", 403, "checksum_mismatch"),
            ("/event/rules", 422, "missing_parameter"),
            ("/event/rules?campaign=a&color=red", 422, "unknown_parameter"),
            ("/event/rules?campaign=a&orderId=7", 422, "incomplete_combination"),
            ("/event/rules?campaign=a&orderId=7&amount=1", 422, "incomplete_combination"),
            ("/event/rules?campaign=a&orderId=7&amount=1&currency=GBP", 422, "value_not_allowed"),
            ("/event/rules?campaign=a&type=impression", 422, "type_not_allowed"),
            ("/event/plain?type=view", 422, "type_not_allowed"),
            ("/event/plain?type=", 422, "type_not_allowed"),
            ("/event/plain?type=Click", 422, "type_not_allowed"),
            // The order: path and query, existence, validity, checksum, parameters; within them from left to right.
            ("/event/nobody?a=1&a=2", 400, "bad_request"),
            ("/event/all-wrong?a=1&a=2", 400, "bad_request"),
            ("/event/all-wrong?checksum=q&type=view", 410, "program_inactive"),
            ("/event/late-checked", 410, "program_expired"),
            ("/event/checked-rules?type=view", 403, "checksum_missing"),
            ("/event/checked-rules?checksum=no", 403, "checksum_mismatch"),
            ("/event/checked-rules?checksum=k", 422, "missing_parameter"),
            ("/event/missing-unknown?type=view&x=1&b=2", 422, "missing_parameter"),
            ("/event/missing-unknown?a=1&type=view&x=1&b=2", 422, "unknown_parameter"),
            ("/event/missing-unknown?a=1&type=view&b=2", 422, "incomplete_combination"),
            ("/event/missing-unknown?a=1&type=view&b=2&c=3", 422, "value_not_allowed"),
            ("/event/missing-unknown?a=1&type=view&b=1&c=3", 422, "type_not_allowed"),
            // Ids.
            ("/event/" + String(repeating: "x", count: 65), 400, "bad_request"),
            ("/event/" + String(repeating: "x", count: 64), 404, "program_not_found"),
            ("/event/a.b", 400, "bad_request"),
            ("/event/a~b", 400, "bad_request"),
            ("/event/a+b", 400, "bad_request"),
            ("/event/%20", 400, "bad_request"),
            ("/event/a%2Fb", 400, "bad_request"),
            ("/event/%00", 400, "bad_request"),
            ("/event/%C3%BC", 400, "bad_request"),
            ("/event/%", 400, "bad_request"),
            ("/event/%4", 400, "bad_request"),
            ("/event/%zz", 400, "bad_request"),
            ("/event/%2570lain", 400, "bad_request"),
            // Queries.
            ("/event/plain?a=%", 400, "bad_request"),
            ("/event/plain?a=%1", 400, "bad_request"),
            ("/event/plain?a=%g0", 400, "bad_request"),
            ("/event/plain?a=%00", 400, "bad_request"),
            ("/event/plain?a=%0A", 400, "bad_request"),
            ("/event/plain?a=%0d", 400, "bad_request"),
            ("/event/plain?a=%1F", 400, "bad_request"),
            ("/event/plain?a=%7F", 400, "bad_request"),
            ("/event/plain?a=%FF", 400, "bad_request"),
            ("/event/plain?a=%C0%AF", 400, "bad_request"),
            ("/event/plain?a=%ED%A0%80", 400, "bad_request"),
            ("/event/plain?a=%C3", 400, "bad_request"),
            ("/event/plain?%FF=a", 400, "bad_request"),
            ("/event/plain?=a", 400, "bad_request"),
            ("/event/plain?a=1&=", 400, "bad_request"),
            ("/event/plain?a=1&a=1", 400, "bad_request"),
            ("/event/plain?a=1&%61=1", 400, "bad_request"),
            ("/event/plain?type=click&type=click", 400, "bad_request"),
            ("/event/plain?checksum=c0ffee&checksum=c0ffee", 400, "bad_request"),
        ]

        @Test("each refusal has its status and code, and the first reason that applies is answered")
        func refusals() async throws {
            try await Self.withPrograms { service async throws in
                let connection = try RawConnection(port: service.port)
                for (target, status, code) in Self.refusals {
                    let answer = try connection.exchange(target)
                    #expect(answer.status == status, "\(target): \(answer.text)")
                    #expect(answer.code == code, "\(target): \(answer.text)")
                    #expect(try answer.json["message"]?.text?.isEmpty == false, "\(target)")
                    #expect(try Set(answer.json.keys) == ["error", "message"], "\(target)")
                    #expect(answer["Content-Type"]?.hasPrefix("application/json") == true, "\(target)")
                    #expect(answer["Cache-Control"] == "no-store", "\(target)")
                }
            }
        }

        static let allowed = [
            "/event/plain", "/event/plain?", "/event/%70lain", "/event/plain?checksum=c0ffee",
            "/event/plain?type=impression",
            "/event/plain?a", "/event/plain?a=", "/event/plain?a=b=c", "/event/plain?a=%25zz", "/event/plain?a=1+2",
            "/event/plain?a=%F0%9F%98%80", "/event/plain?%74ype=clic%6B", "/event/checked?checksum=s3cret",
            "/event/rules?campaign=a", "/event/rules?campaign=a&type=conversion&checksum=r",
            "/event/rules?campaign=&orderId=7&amount=1&currency=EUR",
            "/event/rules?currency=US%44&amount=&orderId&campaign=a", "/event/plain?a=1&A=1", "/event/plain?a=1;b=2",
        ]

        @Test("what is well-formed and allowed is accepted")
        func allowed() async throws {
            try await Self.withPrograms { service async throws in
                for target in Self.allowed {
                    let answer = try service.get(target)
                    #expect(answer.status == 200, "\(target): \(answer.text)")
                }
            }
        }

        /// Method, target, status, Allow.
        static let routes: [(String, String, Int, String?)] = [
            ("GET", "/health/check", 200, nil), ("HEAD", "/health/check", 200, nil), ("GET", "/health/ready", 200, nil),
            ("HEAD", "/health/ready", 200, nil), ("GET", "/", 404, nil), ("GET", "/event", 404, nil),
            ("GET", "/event/", 404, nil), ("GET", "/event/x/", 404, nil), ("GET", "/event/x/y", 404, nil),
            ("GET", "/event//", 404, nil), ("GET", "/Event/plain", 404, nil), ("GET", "/health", 404, nil),
            ("GET", "/health/check/", 404, nil), ("GET", "/metrics", 404, nil), ("GET", "/ledger", 404, nil),
            ("GET", "/cache/purge", 404, nil), ("GET", "/../event/plain", 404, nil), ("GET", "//event/plain", 404, nil),
            ("POST", "/event/plain", 405, "GET"), ("HEAD", "/event/plain", 405, "GET"),
            ("PUT", "/event/plain", 405, "GET"),
            ("DELETE", "/event/plain", 405, "GET"), ("OPTIONS", "/event/plain", 405, "GET"),
            ("PATCH", "/event/plain", 405, "GET"), ("TRACE", "/event/plain", 405, "GET"),
            ("POST", "/health/check", 405, "GET, HEAD"), ("GET", "/health/check?x=1", 200, nil),
        ]

        @Test("every path and method has its answer; 405 says what is allowed; HEAD has no body")
        func routes() async throws {
            try await Self.withPrograms { service async throws in
                for (method, target, status, allow) in Self.routes {
                    let answer = try service.get(target, method: method)
                    #expect(answer.status == status, "\(method) \(target)")
                    let allowed = answer["Allow"].map {
                        Set($0.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) })
                    }
                    #expect(allowed == allow.map { Set($0.components(separatedBy: ", ")) }, "\(method) \(target)")
                    if status == 404 { #expect(answer.code != nil, "\(method) \(target): \(answer.text)") }
                }
                let connection = try RawConnection(port: service.port)
                let head = try connection.exchange("/health/check", method: "HEAD")
                #expect(head["Content-Length"] != "0")
                // The next answer on the connection begins where the head ended.
                #expect(try connection.exchange("/event/plain").status == 200)
            }
        }

        @Test("an unknown method is 405 or 501")
        func unknownMethod() async throws {
            try await Self.withPrograms { service async throws in
                #expect(try [405, 501].contains(service.get("/event/plain", method: "BREW").status))
                #expect(try [405, 501].contains(service.get("/event/plain", method: "get").status))
            }
        }

        @Test("readiness names what is missing while it drains, and requests are still answered")
        func drainDelay() async throws {
            try await Service.with(Service.Setup(["--drain-delay", "3s"])) { service async throws in
                #expect(try service.get("/health/ready").status == 200)
                service.process.signal(SIGTERM)
                let isUnready = try await eventually(within: .seconds(2)) {
                    try service.get("/health/ready").status == 503
                }
                #expect(isUnready)
                let answer = try service.get("/health/ready")
                #expect(answer.text.contains("draining"))
                #expect(try service.get("/event/212312").status == 200)
                #expect(try await service.process.exit(within: .seconds(25)) == .status(0))
            }
        }
    }
}
