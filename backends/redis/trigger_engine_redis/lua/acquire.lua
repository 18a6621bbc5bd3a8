-- Takes or keeps a lease. ARGV: log id, name, owner, ttl.
load_log()
local now = server_time()
local packed = call('HGET', LEASES, ARGV[2])
local lease = packed and unpack_value(packed)
if lease and lease[1] ~= ARGV[3] and lease[2] > now then
    return 0
end
call('HSET', LEASES, ARGV[2], pack({ARGV[3], now + tonumber(ARGV[4])}))
return 1
