INSERT INTO log.ids AS i (category, next) VALUES ($1, $2::bigint + 1)
ON CONFLICT (category) DO UPDATE SET next = i.next + $2 RETURNING next - $2
