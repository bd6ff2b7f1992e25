import NIOCore
import Testing

@testable import RedisClient

@Suite("The Redis URL")
struct RedisConfigurationTests {
    @Test(
        "Hosts and ports",
        arguments: [
            ("redis://cache.example.com", "cache.example.com", 6379), ("redis://127.0.0.1:7000", "127.0.0.1", 7000),
            ("REDIS://h:1/", "h", 1), ("redis://[::1]:6380", "::1", 6380), ("redis://[fe80::1]", "fe80::1", 6379),
            ("redis://h/0", "h", 6379),
        ]
    )
    func places(url: String, host: String, port: Int) throws {
        let configuration = try RedisConfiguration(url: url)
        #expect(configuration.host == host)
        #expect(configuration.port == port)
        #expect(configuration.credentials == nil)
        #expect(!configuration.usesTLS)
    }

    @Test("User and password are percent-decoded, a password may stand alone")
    func credentials() throws {
        let both = try RedisConfiguration(url: "redis://an%20na:p%40ss%3Aw%2F:x@h:1")
        #expect(both.credentials == .init(user: "an na", password: "p@ss:w/:x"))
        #expect(try RedisConfiguration(url: "redis://:secret@h").credentials == .init(user: nil, password: "secret"))
        #expect(try RedisConfiguration(url: "redis://u:p@ss@h").credentials == .init(user: "u", password: "p@ss"))
    }

    @Test(
        "What is no Redis URL is refused with one sentence that repeats nothing of it",
        arguments: [
            "", "localhost:6379", "http://h", "redis://", "redis://:6379", "redis://h:0", "redis://h:65536",
            "redis://h:+1",
            "redis://h:1/2", "redis://h?db=1", "redis://hunter2@h", "redis://u:hunter2%@h", "redis://u:hunter2%zz@h",
            "redis://u:hunter2@", "redis://u:@h", "redis://[::1", "redis://[h]", "redis://a b", "redis://[::1]6379",
            "redis://u:hunter2/x@h", "redis://h\r\nX",
        ]
    )
    func faults(url: String) {
        let error = #expect(throws: RedisError.self) { try RedisConfiguration(url: url) }
        #expect(error?.code == .configuration)
        #expect(error?.description.contains("hunter2") == false)
        #expect(error?.description.hasSuffix(".") == true)
    }

    @Test("The password is in no description")
    func hidesPassword() throws {
        let configuration = try RedisConfiguration(url: "rediss://anna:hunter2@h:7")
        #expect("\(configuration)" == "rediss://h:7")
        var dumped = ""
        dump(configuration, to: &dumped)
        dump(configuration.credentials, to: &dumped)
        dumped += String(reflecting: configuration) + "\(String(describing: configuration.credentials))"
        #expect(!dumped.contains("hunter2"))
        #expect(!dumped.contains("anna"))
    }

    @Test("A certificate authority that cannot be read, or is not needed, is said at once")
    func certificateAuthority() {
        #expect(throws: RedisError.self) {
            try RedisConfiguration(url: "rediss://h", certificateAuthority: "/nowhere.pem")
        }
        #expect(throws: RedisError.self) {
            try RedisConfiguration(url: "redis://h", certificateAuthority: "/nowhere.pem")
        }
    }

    @Test("Arguments with any bytes stay arguments")
    func commands() {
        #expect(String(buffer: RedisCommand("GET", "a\r\nDEL b").encoded) == "*2\r\n$3\r\nGET\r\n$8\r\na\r\nDEL b\r\n")
        let read = RedisCommand.hashGetAll(prefix: "program:", id: "212312")
        #expect(String(buffer: read.encoded) == "*2\r\n$7\r\nHGETALL\r\n$14\r\nprogram:212312\r\n")
        #expect(read.isComplete)
        #expect(!RedisCommand("GET", argumentCount: 1).isComplete)
        let long = RedisCommand("SET", "k", String(repeating: "x", count: 1234))
        #expect(String(buffer: long.encoded).contains("$1234\r\nx"))
    }
}
