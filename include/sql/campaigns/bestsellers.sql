-- What sold best in each category in the last 90 days. Three rows per category at most.
-- Mails show it with name and price: what the catalogue has without them is left out.
-- grain:   category, place
-- refresh: rebuild
-- pii:     none

with sales as (
    select lines.category, lines.sku, sum(lines.quantity) as units
    from core.order_lines as lines
    inner join core.products as products
        on lines.sku = products.sku
        and products.is_active
        and products.name is not null
        and products.price is not null
    where lines.is_sale and lines.category is not null and lines.day > cast($day - interval 90 day as date)
    group by lines.category, lines.sku
),

ranked as (
    select category, sku, units, row_number() over (partition by category order by units desc, sku) as place
    from sales
)

select ranked.category, ranked.place, ranked.sku, products.name, products.price, products.url, products.image_url
from ranked
inner join core.products as products on ranked.sku = products.sku
where ranked.place <= 3
