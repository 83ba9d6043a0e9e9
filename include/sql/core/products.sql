-- What we sell. One row per product.
-- grain:   sku
-- refresh: rebuild
-- keys:    skus = sku
-- pii:     none

select
    sku,
    name,
    category,
    brand,
    price,
    unit_cost,
    image_url,
    url,
    replenish_days,
    coalesce(active, true) as is_active
from staging.products
where fate = 'current'
