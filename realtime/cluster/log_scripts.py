"""
The scripts that keep the log in Redis.

A number says when: the milliseconds of Redis' clock times 2048, or one more than the last. So
numbers rise whatever Redis forgets.
"""

from __future__ import annotations

# Numbers in a millisecond.
PER_MILLISECOND = 2048

# KEYS: the last number; who has sent what; then two for each stream, its entries and what is known
# of it. ARGV: the channels, a line each, the message without its number, how many events it has,
# the sender's count (empty: nobody counts), the number that all events stand behind (or empty);
# then milliseconds, entries and bytes that a stream keeps.
#
# Of a stream is known: `t` bytes and `n` events that it was sent in all, `b` and `e` those of them
# that are gone, `l` the last number, and `d` the last number that had to go before its time.
APPEND = """
local count = tonumber(ARGV[3])
if ARGV[4] ~= '' then
  local done = tonumber(redis.call('GET', KEYS[2]) or '0')
  if done >= tonumber(ARGV[4]) then return '0' end
end
local life, most, bytes = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local time = redis.call('TIME')
local now = (time[1] * 1000 + math.floor(time[2] / 1000)) * 2048
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local number = math.max(now, last + 1)
redis.call('SET', KEYS[1], string.format('%.0f', number + count - 1), 'PX', life + 86400000)
if ARGV[4] ~= '' then redis.call('SET', KEYS[2], ARGV[4], 'PX', life + 86400000) end
local name = string.format('%.0f', number)
local oldest = number - life * 2048
local least = string.format('%.0f', oldest)
local message = ARGV[2] .. struct.pack('>I8', number)
local size = #message + 100
for i = 3, #KEYS, 2 do
  local key, known = KEYS[i], KEYS[i + 1]
  local total = redis.call('HINCRBY', known, 't', size)
  local events = redis.call('HINCRBY', known, 'n', count)
  redis.call('XADD', key, 'MINID', '~', least, name .. '-0',
    'm', message, 't', total, 'c', ARGV[3], 'n', events, 'r', ARGV[5])
  local gone = redis.call('HMGET', known, 'b', 'e')
  gone = {tonumber(gone[1] or '0'), tonumber(gone[2] or '0')}
  while events - gone[2] > most or total - gone[1] > bytes do
    local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
    if not first then break end
    gone = {first[2][4] - #first[2][2] - 100, first[2][8] - first[2][6]}
    redis.call('HSET', known, 'b', string.format('%.0f', gone[1]),
      'e', string.format('%.0f', gone[2]))
    if events - gone[2] <= most and total - gone[1] <= bytes then break end
    local id = tonumber(string.match(first[1], '^%d+'))
    if id >= oldest then
      redis.call('HSET', known, 'd', string.format('%.0f', id + tonumber(first[2][6]) - 1))
    end
    redis.call('XDEL', key, first[1])
  end
  redis.call('HSET', known, 'l', string.format('%.0f', number + count - 1))
  redis.call('PEXPIRE', key, life)
  redis.call('PEXPIRE', known, life)
end
for channel in string.gmatch(ARGV[1], '[^\\n]+') do
  redis.call('PUBLISH', channel, message)
end
return name
"""

# KEYS: a session. ARGV: whose it is, whose it may have been, the session, milliseconds. Returns 0
# where it is somebody else's.
SAVE = """
local owner = redis.call('HGET', KEYS[1], 'o')
if owner and owner ~= ARGV[1] and owner ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'o', ARGV[1], 's', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
"""

# KEYS: a session. ARGV: whose it has to be, or may be still.
FORGET = """
local owner = redis.call('HGET', KEYS[1], 'o')
if owner == ARGV[1] or owner == ARGV[2] then redis.call('DEL', KEYS[1]) end
return 1
"""

# KEYS: the last number. ARGV: a number that was given already, whatever Redis has forgotten, and
# milliseconds. Returns a number that is no lower, and behind which all to come are.
REACH = """
local time = redis.call('TIME')
local now = (time[1] * 1000 + math.floor(time[2] / 1000)) * 2048 - 1
local last = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1]))
last = string.format('%.0f', last)
redis.call('SET', KEYS[1], last, 'PX', ARGV[2] + 86400000)
return last
"""


def number_at(last: int, time: tuple[bytes, bytes]) -> int:
    """Return the number behind which all to come are: by the last one, and by Redis' clock."""
    seconds, microseconds = map(int, time)
    return max(last, (seconds * 1000 + microseconds // 1000) * PER_MILLISECOND - 1)
