-- Writes a runner's row, and removes rows of runners lost for long. ARGV: log id, runner, ttl, seconds to keep, facts.
load_log()
local now = server_time()
local found = call('HGETALL', RUNNERS)
for index = 1, #found, 2 do
    if unpack_value(found[index + 1])[2] + tonumber(ARGV[4]) < now then
        call('HDEL', RUNNERS, found[index])
    end
end
call('HSET', RUNNERS, ARGV[2], pack({now, now + tonumber(ARGV[3]), ARGV[5]}))
return 1
